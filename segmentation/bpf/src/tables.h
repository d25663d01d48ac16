// SPDX-License-Identifier: MIT OR GPL-2.0-only
//
// What the programs and the agent share: the maps and what is in them.
//
// Policy lives in four tables (endpoints, addresses, prefixes, rules) that belong
// together. Each exists twice, and `control` says in one word which set counts,
// so that a packet never sees half of an old policy and half of a new one.
#ifndef GABION_TABLES_H
#define GABION_TABLES_H

#include "kernel.h"

// IPv4 addresses are written as IPv6 ones (::ffff:a.b.c.d), in network order.
// No such address ever is on the wire of IPv6, so the two never meet.
union address {
	u8 b[16];
	u32 w[4];
	u64 d[2];
};

enum direction {
	INGRESS = 0,
	EGRESS = 1,
};

// Verdicts have the numbers of package segmentation.
enum verdict {
	DENIED = 0,
	AUDITED = 1,
	ALLOWED = 2,
};

// Why a packet passed or not; also the index into `counters`.
enum reason {
	REASON_ALLOWED = 0,   // judged, and allowed
	REASON_ESTABLISHED,   // of a flow that was judged before
	REASON_AUDITED,       // judged: passes, audited policies would deny it
	REASON_DENIED,        // judged, and denied
	REASON_RELATED,       // an ICMP error about a flow that was allowed
	REASON_NEIGHBOUR,     // ARP, neighbour discovery, MLD
	REASON_SPOOFED,       // the source is no address of the workload
	REASON_MALFORMED,     // cannot be read
	REASON_FRAGMENT,      // a later fragment whose first was not seen
	REASON_PROTOCOL,      // neither IP nor ARP, and the direction is closed
	REASON_INTERFACE,     // no policy is loaded for the interface
	REASON_REDIRECTED,    // of REASON_ESTABLISHED: took the local fast path
	LOST_ESTABLISHED,     // a flow was not promoted: table full
	LOST_BUDGET,          // a flow was not promoted or not remembered: its workload has too many
	LOST_FLOWS,           // a flow was not counted: table of flows full, or its workload has too many rows
	LOST_EVENTS,          // an event was not sent: ring full or too many
	COUNTERS,
};

enum { SECRETS = 10 }; // as many as a flow's key has words

struct control {
	u32 generation; // raised when a flow that was judged must be judged again
	u32 set;        // of policy tables, 0 or 1
	u32 flows;      // how often rows were read; its low bit: which table of them is written to
	u32 reading;    // until when an agent reads `names`, in units of 2^28 ns
	u32 direct;     // until when shortcuts hold, in seconds; 0: there are none
	u32 secret[SECRETS]; // of the hash of half-open flows and of fragments; kept as long as these
};

// A shape is which parts of a rule's key are wild.
enum {
	SHAPE_ANY_PEER = 0x80,
	SHAPE_ANY_PROTOCOL = 17, // else: how many low bits of the port are wild, 0..16
	SHAPES = 36,
};

// One direction of a workload: which shapes its rules have, in the order in which
// the first match settles the matter. Empty and not closed: it is governed by nothing.
struct lane {
	u8 closed; // denies what no rule is about
	u8 strict; // denies something
	u8 count;
	u8 named; // has rules by DNS name
	u8 shapes[SHAPES];
	u32 rule; // by which a closed one denies what no other is about
};

struct endpoint {
	u32 workload; // the workload's number on this host, never 0
	u32 subject;  // its identity as a subject of rules
	u64 adopt;    // until then a TCP flow may be picked up in its middle, from either side
	struct lane lanes[2];
	union address own[2]; // an IPv4 and an IPv6 address of the workload, or zero; there may be more
};

enum { OUTSIDE = 1 }; // the identity of addresses that no prefix holds

struct peer {
	u32 identity; // 0: void
	u32 workload; // 0: not of this host
};

struct prefix {
	u32 length;
	u32 address[4]; // no union: its alignment would tear the key apart
};

struct rule_key {
	u32 subject;
	u32 peer; // 0: any
	u16 port;
	u8 protocol; // 0: any
	u8 way;      // low bit: direction; the rest: the shape
};

// Rules and peers are eight bytes that change as one. An entry is never removed
// from a table in use: the kernel gives a removed one's memory to the next key at
// once, while a program may still be reading it. It becomes void instead.
enum { VOID = 255 };

struct rule {
	u32 verdict; // or VOID
	u32 rule;    // which of the policies' rules it comes from
};

// What edit_table is given.
struct edit {
	u32 table; // 0: rules, 1: addresses
	u32 set;
	u8 key[16];
	u64 value;
};

// What adopt_flow answers.
enum adopt {
	ADOPT_KNOWN = 0, // there already
	ADOPT_TAKEN,     // allowed, or audited
	ADOPT_DENIED,    // will be cut
	ADOPT_FULL,      // no room: judged by its next packet
};

// A flow's key is the same for both of its directions: the lower end first.
struct flow_key {
	union address ends[2];
	u16 ports[2];
	u8 protocol;
	u8 zero[3];
};

struct flow {
	u64 last; // when its last packet was seen, coarse
	u64 packets[2]; // from each end, since they were last folded into `flows`
	u64 bytes[2];
	u32 workload[2]; // who approved it, by end; 0: nobody here
	u32 generation[2];
	u8 verdict[2];
	u8 initiator; // which end opened it
	u8 closed;
	u8 spoken[2];
	u8 finished[2];
};

// Half-open flows are in sets of WAYS. A set begins with all that is needed to find
// one's place in it, which fits a line of the processor's cache.
enum { WAYS = 8 };

struct half_open {
	struct flow_key key;
	struct flow flow;
};

struct half_open_set {
	struct bpf_spin_lock lock;
	u32 tags[WAYS]; // of the hash of who has the place; 0: nobody
	u16 seen[WAYS]; // when it was last looked at, in units of 2^24 ns
	u32 zero;
	struct half_open of[WAYS];
};

// What adopt_flow is given: a flow as one of its ends has it.
struct adopted {
	struct flow_key key;
	u64 cookie; // of the end's socket
	u32 ifindex;
	u8 me;        // which end of the key is the workload's
	u8 initiator; // which one opened it
	u8 zero[2];
};

// One row of what is counted: a workload, its peer, what for, what became of it.
struct tally_key {
	union address peer;
	u32 workload;
	u16 port;
	u8 protocol;
	// Low bit: direction, then two bits of verdict, then the reason of a drop;
	// REASON_ESTABLISHED of flows that were there before we looked.
	u8 way;
};

struct tally {
	u64 flows;
	u64 answered;
	u64 packets; // 0 of drops: as many as flows
	u64 bytes;
	u64 first;
	u64 last;
	u32 rule;
	u32 identity;
};

struct event {
	u64 time;
	u64 count; // of its row so far: a power of two
	u64 cookie;
	union address from;
	union address to;
	u32 workload;
	u32 rule;
	u32 length;
	u16 from_port;
	u16 to_port;
	u8 protocol;
	u8 direction;
	u8 verdict;
	u8 reason;
	u32 zero;
};

// What one workload has used of what all share.
struct usage {
	u64 established;
	u64 second; // the window that `opened` counts in
	u64 opened;
	u64 events; // tokens left
	u64 refill; // when tokens were last given
};

// What one workload has of the rows, since they were read.
struct share {
	u32 read;    // how often they were
	u32 rows[2]; // of flows, of drops
};

// Where a workload of this host is, for the fast path.
struct neighbour {
	u32 workload;
	u32 ifindex;
	u8 to[6];   // the workload's own interface
	u8 from[6]; // the host's end of it
	u32 mtu;    // of both
};

// Who opened a socket.
struct process {
	u64 cgroup;
	u32 pid;
	u32 uid;
	u8 command[16];
};

struct socket_place {
	u64 payer;
	u32 number;
	u32 zero;
};

// Outer maps have a third place that is never read: writing to it makes the
// kernel wait until no program runs that could have seen the set before.
#define IN_SETS(NAME, TYPE, KEY, VALUE, ENTRIES, FLAGS)               \
	struct {                                                      \
		__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);             \
		__uint(max_entries, 3);                               \
		__type(key, u32);                                     \
		__array(values, struct {                              \
			__uint(type, TYPE);                           \
			__uint(max_entries, ENTRIES);                 \
			__uint(map_flags, FLAGS);                     \
			__uint(key_size, sizeof(KEY));                \
			__uint(value_size, sizeof(VALUE));            \
		});                                                   \
	} NAME SEC(".maps")

#define TABLE(NAME, TYPE, KEY, VALUE, ENTRIES)                        \
	struct {                                                      \
		__uint(type, TYPE);                                   \
		__uint(max_entries, ENTRIES);                         \
		__type(key, KEY);                                     \
		__type(value, VALUE);                                 \
	} NAME SEC(".maps")

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, u32);
	__type(value, struct control);
} control SEC(".maps");

// By interface index; those of cgroups have the highest bit set, and those by which
// prefilter.h finds workloads the two highest.
IN_SETS(endpoints, BPF_MAP_TYPE_HASH, u32, struct endpoint, 1024, 0);
IN_SETS(addresses, BPF_MAP_TYPE_HASH, union address, struct peer, 1024, 0);
IN_SETS(prefixes, BPF_MAP_TYPE_LPM_TRIE, struct prefix, struct peer, 1024, BPF_F_NO_PREALLOC);
IN_SETS(rules, BPF_MAP_TYPE_HASH, struct rule_key, struct rule, 1024, 0);
IN_SETS(flows, BPF_MAP_TYPE_HASH, struct tally_key, struct tally, 131072, BPF_F_NO_PREALLOC);
IN_SETS(drops, BPF_MAP_TYPE_HASH, struct tally_key, struct tally, 16384, BPF_F_NO_PREALLOC);

TABLE(half_open, BPF_MAP_TYPE_ARRAY, u32, struct half_open_set, 8192);
TABLE(established, BPF_MAP_TYPE_HASH, struct flow_key, struct flow, 131072);
TABLE(neighbours, BPF_MAP_TYPE_HASH, union address, struct neighbour, 4096);
TABLE(groups, BPF_MAP_TYPE_HASH, u64, u32, 4096);
TABLE(usages, BPF_MAP_TYPE_HASH, u32, struct usage, 4096);
TABLE(shares, BPF_MAP_TYPE_HASH, u32, struct share, 4096);
TABLE(counters, BPF_MAP_TYPE_PERCPU_ARRAY, u32, u64, COUNTERS);
// Who has a socket, by its cookie, and what of that was remembered at whose cost: each
// has a ring of so many, so that one who opens sockets without end is forgotten alone.
enum { SOCKETS_EACH = 1024 };
TABLE(sockets, BPF_MAP_TYPE_LRU_HASH, u64, struct process, 32 * SOCKETS_EACH);
TABLE(socket_rings, BPF_MAP_TYPE_LRU_HASH, struct socket_place, u64, 32 * SOCKETS_EACH);
TABLE(socket_counts, BPF_MAP_TYPE_LRU_HASH, u64, u32, 4096);

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 262144);
} events SEC(".maps");

// Limits: the agent sets them before it loads the programs.
volatile const u64 limit_established = 32768; // flows of one workload
volatile const u64 limit_opened = 8192;       // new flows of one workload that are remembered, a second
volatile const u32 limit_flows = 32768;       // rows of flows of one workload
volatile const u32 limit_drops = 4096;        // rows of its drops
volatile const u64 limit_events = 64;         // at once, of one workload
volatile const u64 limit_events_rate = 8;     // a second after that
volatile const u64 timeout_tcp = 21600;       // seconds without a packet
volatile const u64 timeout_udp = 180;
volatile const u64 timeout_other = 60;
volatile const u64 timeout_half_open = 60;
volatile const u32 half_open_mask = 8191; // sets of half-open flows, less one

#define SECOND 1000000000ULL

static always_inline void count(u32 what)
{
	u64 *n = bpf_map_lookup_elem(&counters, &what);
	if (n)
		*n += 1;
}

#endif
