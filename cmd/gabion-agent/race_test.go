//go:build race

package main

// raceDetector: memory is mostly the detector's.
const raceDetector = true
