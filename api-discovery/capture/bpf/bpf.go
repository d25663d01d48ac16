// Package bpf holds the programs that look for HTTP, on interfaces and at libraries of
// TLS: their source in C (src), the objects that clang made of it, and the Go types of
// what their maps hold. The objects are committed, so that nobody but who changes the
// source needs clang; they are for little endian machines, amd64 and arm64 alike.
//
// It neither loads nor attaches anything. Only api-discovery/capture, its parts,
// and its measurement import it.
package bpf

//go:generate go run github.com/cilium/ebpf/cmd/bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -output-stem http -no-global-types HTTP src/http.c -- -Wall -Werror -mcpu=v3 -I src
//go:generate go run github.com/cilium/ebpf/cmd/bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -output-stem tls -no-global-types TLS src/tls.c -- -Wall -Werror -mcpu=v3 -I src
