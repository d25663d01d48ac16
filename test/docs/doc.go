// Package docs keeps the documents true: what the README's tour tells a reader
// to type is typed, against a real `gabion up`, and must give what the README
// shows; links lead somewhere; commands that are named exist. It is no test of
// the product beyond that, and nobody imports it.
package docs
