// Package flags writes the resources that the flags of gabion up stand for, as
// the text a person would write. gabion up --print shows it.
package flags

import "github.com/gabion-io/gabion/controlplane/source"

// Up is what gabion up was told on the command line.
type Up struct {
	Listen   string // "127.0.0.1:8080"
	Upstream string // "http://127.0.0.1:3000", "https://api.example.com"
	TLSCert  []byte // PEM; with TLSKey the listener speaks HTTPS
	TLSKey   []byte
	Mode     string // of the root WAFPolicy; empty: detect
	Record   bool   // write a Recording
}

// Text renders the resources as a multi-document YAML file.
func Text(u Up) (string, error) { panic("todo") }

// Set renders and decodes them.
func Set(u Up) (source.Set, error) { panic("todo") }
