// SPDX-License-Identifier: MIT OR GPL-2.0-only
//
// What is counted and told: exact rows in `flows` and `drops`, and events at
// counts that are powers of two, so that a flood costs tens of them.
#ifndef GABION_TALLY_H
#define GABION_TALLY_H

#include "tables.h"

struct amounts {
	u32 flows;
	u32 answered;
	u64 packets;
	u64 bytes;
	u64 now;
	u32 rule;
	u32 slot;
	u32 set;
	u32 inbound; // of a packet that the row's peer has sent
};

// workload_at is which workload of this host has an address; `instead` if none has.
static always_inline u32 workload_at(const u32 *set, const union address *a, u32 instead)
{
	void *table = bpf_map_lookup_elem(&addresses, set);
	struct peer *p = table ? bpf_map_lookup_elem(table, a) : 0;
	u32 found = p ? *(volatile u32 *)&p->workload : 0;
	return found ? found : instead;
}

// may_have says whether there may be one more row: in the share of who makes it
// necessary, and not of who is scanned. Two processors may find at the same time that
// rows were read: a bound need not be exact.
static noinline int may_have(const struct tally_key *key, const struct amounts *a, int dropped)
{
	u32 workload = a->inbound ? workload_at(&a->set, &key->peer, key->workload) : key->workload;
	u32 read = a->slot;
	struct share *s = bpf_map_lookup_elem(&shares, &workload);
	if (!s) {
		struct share fresh = {.read = read};
		bpf_map_update_elem(&shares, &workload, &fresh, BPF_NOEXIST);
		s = bpf_map_lookup_elem(&shares, &workload);
		if (!s)
			return 0;
	}
	if (s->read != read) {
		s->read = read;
		s->rows[0] = s->rows[1] = 0;
	}
	if (dropped)
		return __sync_fetch_and_add(&s->rows[1], 1) < limit_drops;
	return __sync_fetch_and_add(&s->rows[0], 1) < limit_flows;
}

// add books amounts on a row and returns how many flows it has, 0 when the row
// could not be made.
noinline u64 add(const struct tally_key *key, const struct amounts *a)
{
	if (!key || !a)
		return 0;
	int dropped = !(key->way & 6);
	u32 slot = a->slot & 1;
	void *table;

	if (dropped)
		table = bpf_map_lookup_elem(&drops, &slot);
	else
		table = bpf_map_lookup_elem(&flows, &slot);
	if (!table)
		return 0;
	struct tally *t = bpf_map_lookup_elem(table, key);
	if (!t) {
		if (!may_have(key, a, dropped)) {
			count(LOST_FLOWS);
			return 0;
		}
		struct tally fresh = {
			.flows = a->flows,
			.answered = a->answered,
			.packets = a->packets,
			.bytes = a->bytes,
			.first = a->now,
			.last = a->now,
			.rule = a->rule,
		};
		if (!bpf_map_update_elem(table, key, &fresh, BPF_NOEXIST))
			return a->flows;
		// Another processor was faster, or the table is full.
		t = bpf_map_lookup_elem(table, key);
		if (!t) {
			count(LOST_FLOWS);
			return 0;
		}
	}
	if (a->packets)
		__sync_fetch_and_add(&t->packets, a->packets);
	__sync_fetch_and_add(&t->bytes, a->bytes);
	if (a->answered)
		__sync_fetch_and_add(&t->answered, a->answered);
	if (!a->flows)
		return 0;
	t->last = a->now;
	t->rule = a->rule;
	return __sync_fetch_and_add(&t->flows, a->flows) + a->flows;
}

static noinline struct usage *usage_of(u32 workload)
{
	struct usage *u = bpf_map_lookup_elem(&usages, &workload);
	if (u)
		return u;
	struct usage fresh = {.events = limit_events};
	bpf_map_update_elem(&usages, &workload, &fresh, BPF_NOEXIST);
	return bpf_map_lookup_elem(&usages, &workload);
}

// may_tell takes one token for an event. Two processors may take the same one:
// a bound on work need not be exact.
static always_inline int may_tell(struct usage *u, u64 now)
{
	u64 passed = now - u->refill;
	if (passed > SECOND) {
		u64 seconds = passed / SECOND;
		u64 tokens = u->events + seconds * limit_events_rate;
		u->events = tokens > limit_events ? limit_events : tokens;
		u->refill = now;
	}
	if (!u->events)
		return 0;
	u->events -= 1;
	return 1;
}

// may_open says whether one more new flow of the workload is remembered.
static always_inline int may_open(struct usage *u, u64 now)
{
	u64 second = now / SECOND;
	if (u->second != second) {
		u->second = second;
		u->opened = 0;
	}
	return __sync_fetch_and_add(&u->opened, 1) < limit_opened;
}

#endif
