// The module command is the filter inside Envoy's own process: a shared object
// that Envoy 1.40 loads as a dynamic module named "gabion". It moves the parts
// of an exchange from Envoy to filters/chain and the answers back; it knows no
// rule and decides nothing, except what happens when it is itself at fault.
//
//	go build -buildmode=c-shared -o bin/libgabion.so ./filters/module
//
// It is not a library: nobody may import it. It is the only package with cgo.
//
// A Go panic that leaves an exported function ends Envoy. So every exported hook
// runs under a guard (guard.go), goroutines start only through one recovering
// helper, and what a guard catches is answered by the failure mode of the policy.
package main

// main is never called: a c-shared library needs one to be linked.
func main() {}
