package waf

import (
	"math/rand/v2"
	"strings"
	"testing"
)

func TestScripted(t *testing.T) {
	for text, want := range map[string]bool{
		"GIF89a;<?php system($_GET['c']); ?>":  true,
		"<?= `id` ?>":                          true,
		"x <% Runtime.getRuntime() %>":         true,
		"<SCRIPT runat=server>":                true,
		"<SVG onload=alert(1)>":                true,
		"<!--#exec cmd=\"id\" -->":             true,
		"#!/bin/sh\nid":                        true,
		"@EVAL (\n$_POST['x']);":               true,
		"a < b, <p>text</p>, (a system) <3 <?": false,
		"systems(1) eval":                      false,
		"":                                     false,
	} {
		if got := scripted(text); got != want {
			t.Errorf("scripted(%q) = %v", text, got)
		}
	}
}

// Whatever stands around a script, it is looked at.
func FuzzScripted(f *testing.F) {
	f.Add("\x89PNG(<", uint8(3))
	scripts := []string{"<?php phpinfo();", "<%eval request(1)%>", "<jsp:include/>", "shell_exec($_GET[1])", "<svg/onload=x>"}
	f.Fuzz(func(t *testing.T, noise string, n uint8) {
		if s := scripts[int(n)%len(scripts)]; !scripted(noise + "\n" + s + noise) {
			t.Fatalf("%q is not seen in %q", s, noise)
		}
	})
}

func BenchmarkScripted(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 1))
	var noise strings.Builder
	for range maxUpload {
		noise.WriteByte(byte(r.Uint32()))
	}
	text := noise.String()
	b.SetBytes(maxUpload)
	for b.Loop() {
		scripted(text)
	}
}
