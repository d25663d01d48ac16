// SPDX-License-Identifier: MIT OR GPL-2.0-only
//
// What workloads ask name services, and what they are told: copied for the agent.
// An answer for a workload with rules by name is held: the agent gets the only
// copy, and passes it on when the tables know the addresses that are in it.
#ifndef GABION_NAMES_H
#define GABION_NAMES_H

#include "packet.h"

enum { NAME_SERVICE = 53 };

// One message as it crossed a workload's interface.
struct message {
	u64 time;
	union address from;
	union address to;
	u32 workload;
	u32 ifindex;
	u32 length; // of the frame
	u32 l4;     // where the transport's header begins in it
	u16 ports[2];
	u8 protocol;
	u8 version; // of IP
	u8 outbound; // from the workload
	u8 held;    // the workload does not have it: it is for the agent to pass on
	u8 frame[];
};

// Two sizes of records: nearly all messages are short.
enum {
	FRAME_SHORT = 512,
	FRAME_LONG = 4096,
};

// What one workload may have copied, so that it cannot fill the ring for others.
struct asking {
	u64 tokens;
	u64 refill;
	u64 lost; // messages that were not copied
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1048576);
} names SEC(".maps");

TABLE(askings, BPF_MAP_TYPE_HASH, u32, struct asking, 4096);

volatile const u64 limit_names = 1000;      // messages of one workload at once
volatile const u64 limit_names_rate = 1000; // a second after that

static noinline struct asking *asking_of(u32 workload)
{
	struct asking *a = bpf_map_lookup_elem(&askings, &workload);
	if (a)
		return a;
	struct asking fresh = {.tokens = limit_names};
	bpf_map_update_elem(&askings, &workload, &fresh, BPF_NOEXIST);
	return bpf_map_lookup_elem(&askings, &workload);
}

static always_inline int may_ask(struct asking *a, u64 now)
{
	u64 passed = now - a->refill;
	if (passed > SECOND / 8) {
		if (passed > SECOND)
			passed = SECOND;
		u64 tokens = a->tokens + passed * limit_names_rate / SECOND;
		a->tokens = tokens > limit_names ? limit_names : tokens;
		a->refill = now;
	}
	if (!a->tokens)
		return 0;
	a->tokens -= 1;
	return 1;
}

static always_inline int copy_message(struct __sk_buff *skb, const struct message *head, const u32 most)
{
	struct message *m = bpf_ringbuf_reserve(&names, sizeof(*m) + most, 0);
	if (!m)
		return 0;
	u32 n = skb->len;
	__builtin_memcpy(m, head, sizeof(*m));
	m->length = n;
	if (n == 0 || n > most || bpf_skb_load_bytes(skb, 0, m->frame, n)) {
		bpf_ringbuf_discard(m, 0);
		return 0;
	}
	bpf_ringbuf_submit(m, 0);
	return 1;
}

// read_names says whether an agent reads: it says so again and again, in units of
// 2^28 ns, a good quarter of a second. When it does not, nothing is held.
static always_inline int read_names(u64 now)
{
	u32 zero = 0;
	struct control *c = bpf_map_lookup_elem(&control, &zero);
	return c && (u32)(now >> 28) < *(volatile u32 *)&c->reading;
}

// tell_name copies a message. 1: it is held, and must go no further now. What
// cannot be copied as it is on the wire, because it is cut in pieces or not cut
// yet, or does not fit, is counted and passes.
static noinline int tell_name(struct __sk_buff *skb, const struct packet *p, struct message *m)
{
	struct asking *a = asking_of(m->workload);

	if (!a)
		return 0;
	if (skb->gso_segs > 1 || skb->vlan_present || p->first || p->kind != KIND_FLOW || !may_ask(a, m->time))
		goto lost;
	if (m->held && !read_names(m->time))
		m->held = 0;
	if (skb->len <= FRAME_SHORT ? copy_message(skb, m, FRAME_SHORT) : copy_message(skb, m, FRAME_LONG))
		return m->held;
lost:
	__sync_fetch_and_add(&a->lost, 1);
	return 0;
}

#endif
