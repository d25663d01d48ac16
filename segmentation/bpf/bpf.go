// Package bpf holds the datapath's programs: their source in C (src), the objects
// that clang made of it, and the Go types of what their maps hold. The objects are
// committed, so that nobody but who changes the source needs clang; they are for
// little endian machines, amd64 and arm64 alike.
//
// It neither loads nor attaches anything: segmentation/datapath loads, and
// internal/tcx attaches. Only the segmentation area imports it.
package bpf

//go:generate go run github.com/cilium/ebpf/cmd/bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -output-stem datapath -no-global-types Datapath src/tcx.c -- -Wall -Werror -mcpu=v3 -I src
//go:generate go run github.com/cilium/ebpf/cmd/bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -output-stem bench -no-global-types Bench src/bench.c -- -Wall -Werror -mcpu=v3 -I src
