// SPDX-License-Identifier: MIT OR GPL-2.0-only
//
// Policy: the same answer as segmentation.Judge, from tables.
#ifndef GABION_JUDGE_H
#define GABION_JUDGE_H

#include "tables.h"

struct question {
	u32 set;
	u32 subject;
	u32 identity; // of the peer
	u16 port;
	u8 protocol;
	u8 direction;
	u32 rule; // answer: which rule decided; 0: the default
};

// find_peer looks an address up: the address itself, then the narrowest prefix
// that holds it.
static always_inline u32 find_peer(u32 set, const union address *a)
{
	void *table = bpf_map_lookup_elem(&addresses, &set);
	if (!table)
		return OUTSIDE;
	struct peer *found = bpf_map_lookup_elem(table, a);
	u32 identity = found ? *(volatile u32 *)&found->identity : 0;
	if (identity)
		return identity;
	table = bpf_map_lookup_elem(&prefixes, &set);
	if (!table)
		return OUTSIDE;
	struct prefix key = {.length = 128, .address = {a->w[0], a->w[1], a->w[2], a->w[3]}};
	found = bpf_map_lookup_elem(table, &key);
	return found ? found->identity : OUTSIDE;
}

// judge looks through the shapes that the workload's rules have, the most specific
// first: the first match settles the matter. It is a function of its own to the
// verifier, which else would walk its loop once for every way that leads here.
noinline u32 judge(struct question *q, const struct lane *lane)
{
	if (!q || !lane)
		return DENIED;
	if (!lane->count && !lane->closed)
		return ALLOWED;
	u32 set = q->set;
	void *table = bpf_map_lookup_elem(&rules, &set);
	if (!table)
		return DENIED;
	struct rule_key key = {.subject = q->subject};
	for (u32 i = 0; i < SHAPES; i++) {
		if (i >= lane->count)
			break;
		u8 shape = lane->shapes[i];
		u8 wild = shape & 0x7f;
		key.peer = shape & SHAPE_ANY_PEER ? 0 : q->identity;
		key.protocol = wild == SHAPE_ANY_PROTOCOL ? 0 : q->protocol;
		key.port = wild >= 16 ? 0 : q->port & (0xffff << wild);
		key.way = (q->direction & 1) | wild << 1;
		const struct rule *r = bpf_map_lookup_elem(table, &key);
		if (!r)
			continue;
		u64 both = *(volatile u64 *)r;
		if ((u32)both == VOID)
			continue;
		q->rule = both >> 32;
		return both;
	}
	q->rule = lane->rule;
	return DENIED;
}

#endif
