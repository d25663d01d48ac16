// SPDX-License-Identifier: MIT OR GPL-2.0-only
//
// What the programs at libraries of TLS and who reads them share.
#ifndef GABION_PLAIN_H
#define GABION_PLAIN_H

#include "kernel.h"

// IPv4 addresses are written as IPv6 ones (::ffff:a.b.c.d), in network order; all
// zero: nobody knows.
union address {
	u32 w[4];
	u64 d[2];
};

// How a probed function says what it does: the lower bits of the probe's cookie. The
// upper 32 of a Go function's are the hash of the type *net.TCPConn there.
enum function {
	WRITES = 1,   // else it reads
	EXTENDED = 2, // its length is behind the fourth argument, it answers 1
};

// Who is in a call: a thread, or a goroutine, which moves between threads.
struct caller {
	u64 id;
	u32 process;
	u32 go;
};

// A call that has not returned.
struct call {
	u64 conn; // the library's
	u64 buffer;
	u64 length; // of Go, the buffer's; else where it will be, if the function is EXTENDED
	u32 function;
	u32 told; // bytes that were when it began
};

// What a thread received last, outside of any call. Libraries are given it that have
// memory instead of a socket.
struct heard {
	u64 socket; // 0: nothing, or nothing that counts any more
	u64 cookie;
	u64 conn;    // that read since
	u32 length;  // of what came
	u32 read;    // plaintext, since
	u32 records; // of TLS that this was in
	u32 zero;
};

struct conn_key {
	u64 conn;
	u32 process;
	u32 zero;
};

enum state {
	FRESH = 0,
	FOLLOWED,
	IGNORED, // it is no HTTP, or not to be read
};

// One direction.
struct side {
	u32 seq;     // bytes so far
	u32 skipped; // of them not told
	u32 budget;  // that may still be told until the other end speaks
	u32 zero;
};

// A connection of a library of TLS.
struct conn {
	u64 id;
	u64 socket; // address of the kernel's; 0: none was seen
	u64 cookie;
	union address local;
	union address remote;
	u16 local_port;
	u16 remote_port;
	u8 state;
	u8 client; // which direction has the requests: 1 is what this process writes
	u8 last;   // which direction spoke last
	u8 zero;
	struct side sides[2]; // what the process reads, what it writes
	u32 turn;
	u32 zero2;
};

// Some plaintext of one direction, or the end of both. `length` bytes follow.
struct plain {
	u64 id;
	u64 time; // nanoseconds of the monotonic clock
	u64 cookie; // of the socket; 0: not known
	u64 conn;
	union address local;
	union address remote;
	u16 local_port;
	u16 remote_port;
	u32 process;
	u32 thread;
	u32 seq;
	u32 length;
	u32 skipped; // of this direction, before this
	u32 other;   // at the end: how far the other direction came
	u8 written;  // by this process
	u8 client;   // its direction has the requests
	u8 ended;
	u8 zero;
};

enum counter {
	CONNS = 0,  // connections on which a request was seen
	PIECES,     // records told
	BYTES,      // plaintext told
	SKIPPED,    // bytes beyond a turn's budget
	LOST,       // records that did not fit into the ring
	LOST_BYTES,
	FULL,       // calls and connections that could not be remembered
	OTHERS,     // connections that do not begin like HTTP
	UNREADABLE, // times that the memory of a process could not be read
	LATE,       // calls that returned something when their connection had ended
	COUNTERS,
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct caller);
	__type(value, struct call);
} calls SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct conn_key);
	__type(value, struct conn);
} conns SEC(".maps");

// Threads that read from a library which has no socket, by the kernel's number of
// process and thread.
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, u64);
	__type(value, struct heard);
} threads SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 8 << 20);
} pieces SEC(".maps");

// Processes that began in a namespace or cgroup that somebody asked for.
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 16 << 10);
} begun SEC(".maps");

// Numbers of network namespaces, and of cgroups with the highest bit set.
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, u64);
	__type(value, u32);
} scopes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COUNTERS);
	__type(key, u32);
	__type(value, u64);
} counters SEC(".maps");

// Bytes of one direction that are told until the other end speaks.
const volatile u32 turn_http1 = 32768;
const volatile u32 turn_http2 = 4 << 20;
// Whose registers these are.
const volatile u32 arm64 = 0;

enum {
	NO_WAKEUP = 1,
	FORCE_WAKEUP = 2,
	MANY = 1 << 20, // bytes
};

// wake says whether who reads is to be woken. It looks by itself many times a second:
// to wake it for each piece would cost the process that is seen more than all else.
static always_inline u64 wake(void)
{
	return bpf_ringbuf_query(&pieces, 0) > MANY ? FORCE_WAKEUP : NO_WAKEUP;
}

static always_inline void count(u32 which, u64 n)
{
	u64 *c = bpf_map_lookup_elem(&counters, &which);
	if (c)
		*c += n;
}

#endif
