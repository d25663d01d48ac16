//go:build cgo && !gabionfault

package main

// fault does nothing in a build that is shipped.
func fault(string) {}
