// SPDX-License-Identifier: MIT OR GPL-2.0-only
//
// What the programs and who reads them share: the maps and what is in them.
#ifndef GABION_STREAMS_H
#define GABION_STREAMS_H

#include "kernel.h"

// IPv4 addresses are written as IPv6 ones (::ffff:a.b.c.d), in network order.
union address {
	u32 w[4];
	u64 d[2];
};

// The same for both directions of a connection.
struct stream_key {
	union address ends[2];
	u16 ports[2]; // host order
	u32 zero;
};

// One direction. The first interface that its bytes are seen on tells of them: a
// connection of two workloads crosses two.
struct side {
	u32 ifindex;
	u32 budget;  // bytes that may still be told until the other end speaks
	u32 skipped; // bytes that were not told, so far
	u32 zero;
};

enum state {
	FOLLOWED = 0,
	IGNORED = 1, // written by the reader: it is no HTTP, or not to be read
};

// A connection on which a request was seen.
struct stream {
	u64 id;
	struct side sides[2]; // of ends[0] and ends[1] as senders
	u8 state;
	u8 client; // which end sent the request
	u8 last;   // which end spoke last
	u8 finished;
	u32 turn; // the budget of a turn
};

// Some payload of one direction, or its end. What follows it is `length` bytes.
struct segment {
	u64 id;
	u64 time; // nanoseconds of the monotonic clock
	u64 cookie;
	union address from;
	union address to;
	u16 from_port;
	u16 to_port;
	u32 ifindex;
	u32 seq;
	u32 length;
	u32 skipped; // of this direction, before this
	u8 flags;    // of TCP
	u8 outbound; // it came from the workload of the interface
	u8 client;   // it was sent by who sent the first request
	u8 zero;
};

enum counter {
	STREAMS = 0,  // connections on which a request was seen
	SEGMENTS,     // records told
	BYTES,        // payload told
	SKIPPED,      // payload bytes beyond a turn's budget
	LOST,         // records that did not fit into the ring
	LOST_BYTES,
	FULL,         // connections that could not be remembered
	COUNTERS,
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 32768);
	__type(key, struct stream_key);
	__type(value, struct stream);
} streams SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 8 << 20);
} segments SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COUNTERS);
	__type(key, u32);
	__type(value, u64);
} counters SEC(".maps");

// How many connections are followed whose ends have this hash: where there is none, a
// packet needs no lookup. One that the table has evicted stays counted, which costs
// lookups and no more.
enum { MARKS = 32768 };
u32 marks[MARKS];

// Bytes of one direction that are told until the other end speaks. HTTP/2 cannot
// be read with gaps, so it has more.
const volatile u32 turn_http1 = 32768;
const volatile u32 turn_http2 = 4 << 20;

static always_inline void count(u32 which, u64 n)
{
	u64 *c = bpf_map_lookup_elem(&counters, &which);
	if (c)
		*c += n;
}

#endif
