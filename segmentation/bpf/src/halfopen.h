// SPDX-License-Identifier: MIT OR GPL-2.0-only
//
// Flows that are not established, or no longer: an array of sets of eight, found by a
// hash that is secret. What is new takes the place of what was longest not looked at
// in its set. A kernel's table that evicts would do the same in six times the time:
// it walks lists through all of memory to find what to evict.
#ifndef GABION_HALFOPEN_H
#define GABION_HALFOPEN_H

#include "tables.h"

// hash_flow is NH (Black and others, UMAC, CRYPTO 1999) over the words of the key, and
// a mixing of its bits. Who does not know the secret cannot choose flows that push a
// given one out.
static always_inline u64 hash_flow(const struct flow_key *key, const struct control *c)
{
	const u32 *k = (const u32 *)key;
	u64 h = 0;

#pragma unroll
	for (int i = 0; i < SECRETS; i += 2)
		h += (u64)(u32)(k[i] + c->secret[i]) * (u32)(k[i + 1] + c->secret[i + 1]);
	h ^= h >> 32;
	h *= 0x9e3779b97f4a7c15ULL;
	return h ^ h >> 29;
}

// tag_of is how a place says whose it is. It is never 0: that is an empty one.
static always_inline u32 tag_of(u64 hash) { return (u32)hash | 1; }

static always_inline struct half_open_set *set_of(u64 hash)
{
	u32 at = hash >> 32 & half_open_mask;
	return bpf_map_lookup_elem(&half_open, &at);
}

static always_inline int same_flow(const struct flow_key *a, const struct flow_key *b)
{
	const u64 *x = (const u64 *)a, *y = (const u64 *)b;
	return !((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3]) | (x[4] ^ y[4]));
}

// place_of finds the place of a tag, WAYS if there is none. It does so without
// branches, which the verifier would follow one by one to the end of the program.
static always_inline u64 place_of(const u32 *tags, u32 tag)
{
	u64 place = WAYS;

#pragma unroll
	for (int i = 0; i < WAYS; i++) {
		u64 same = ((u64)(tags[i] ^ tag) - 1) >> 63;
		asm volatile("" : "+r"(same)); // or the compiler makes it a branch
		place -= same * (WAYS - i);
	}
	return place;
}

static always_inline u16 tick(u64 now) { return now >> 24; }

// look_half_open finds the place of a flow: the number of its set times WAYS and its
// place there, NOWHERE if there is none. It is a function of its own to the verifier,
// as are those that write: it follows them once.
#define NOWHERE (~0ULL)

noinline u64 look_half_open(const struct flow_key *key, u64 now)
{
	u32 zero = 0;
	const struct control *c = bpf_map_lookup_elem(&control, &zero);
	if (!c || !key)
		return NOWHERE;
	u64 hash = hash_flow(key, c);
	struct half_open_set *s = set_of(hash);
	if (!s)
		return NOWHERE;
	u64 place = place_of(s->tags, tag_of(hash));
	if (place >= WAYS || !same_flow(&s->of[place].key, key))
		return NOWHERE;
	if (s->seen[place] != tick(now))
		s->seen[place] = tick(now);
	return (hash >> 32 & half_open_mask) * WAYS + place;
}

// find_half_open is as a look-up in a map.
static always_inline struct flow *find_half_open(const struct flow_key *key, u64 now)
{
	u64 at = look_half_open(key, now);
	if (likely(at == NOWHERE))
		return 0;
	u32 set = at / WAYS;
	struct half_open_set *s = bpf_map_lookup_elem(&half_open, &set);
	if (!s)
		return 0;
	asm volatile("" : "+r"(at)); // or the compiler adds to s before it knows
	return &s->of[at & (WAYS - 1)].flow;
}

// keep_half_open remembers a flow, in the place of an older memory of it if there is
// one. The lock is between those that write: a place's tag is written last, and who
// finds it also finds what belongs to it.
noinline int keep_half_open(const struct flow_key *key, const struct flow *f, u64 now)
{
	u32 zero = 0;
	const struct control *c = bpf_map_lookup_elem(&control, &zero);
	if (!c || !key || !f)
		return 0;
	u64 hash = hash_flow(key, c);
	struct half_open_set *s = set_of(hash);
	if (!s)
		return 0;
	u32 tag = tag_of(hash);
	u64 best = 0;

	bpf_spin_lock(&s->lock);
#pragma unroll
	for (u64 i = 0; i < WAYS; i++) {
		u64 empty = ((u64)s->tags[i] - 1) >> 63;
		u64 same = ((u64)(s->tags[i] ^ tag) - 1) >> 63;
		u64 age = (u64)(u16)(tick(now) - s->seen[i]) | empty << 16 | same << 17;
		age = age << 3 | i;
		u64 older = (s64)(best - age) >> 63;
		asm volatile("" : "+r"(older)); // as above
		best += (age - best) & older;
	}
	u64 place = best & (WAYS - 1);
	struct half_open *to = &s->of[place];
	*(volatile u32 *)&s->tags[place] = 0;
	to->key = *key;
	to->flow = *f;
	s->seen[place] = tick(now);
	__sync_lock_test_and_set(&s->tags[place], tag);
	bpf_spin_unlock(&s->lock);
	return 0;
}

noinline int forget_half_open(const struct flow_key *key)
{
	u32 zero = 0;
	const struct control *c = bpf_map_lookup_elem(&control, &zero);
	if (!c || !key)
		return 0;
	u64 hash = hash_flow(key, c);
	struct half_open_set *s = set_of(hash);
	if (!s)
		return 0;
	bpf_spin_lock(&s->lock);
	u64 place = place_of(s->tags, tag_of(hash));
	if (place < WAYS && same_flow(&s->of[place].key, key))
		s->tags[place] = 0;
	bpf_spin_unlock(&s->lock);
	return 0;
}

#endif
