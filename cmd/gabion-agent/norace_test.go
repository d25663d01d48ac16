//go:build !race

package main

// raceDetector: memory is gabion's own.
const raceDetector = false
