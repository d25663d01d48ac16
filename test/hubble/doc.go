// Package hubble asks a real gabion, which a real agent reports to, for its flows by
// the command of Hubble itself. It is a module of its own because that command needs
// client-go, which nothing of gabion should come to need by a test; so it knows
// gabion only by its programs.
package hubble
