// SPDX-License-Identifier: MIT OR GPL-2.0-only
//
// Which datagrams have later fragments under way, and the ports that only the first one
// tells. Who pays for a row has it in a table of its own: who sends first fragments
// without end pushes out nobody else's.
#ifndef GABION_FRAGMENTS_H
#define GABION_FRAGMENTS_H

#include "halfopen.h"
#include "packet.h"

// A datagram as one interface sees it. What is before the ports is as many words as a
// flow's key has, and hashed like one.
struct fragment {
	union address from;
	union address to;
	u32 id;
	u32 ifindex;
	u16 ports[2]; // of from and to, which the first fragment tells
	u8 protocol;
	u8 zero[3];
};

// A set is a queue: what is new takes the place of what came WAYS before it. The rest of
// a datagram comes at once, or it does not come.
struct fragment_set {
	u32 tags[WAYS]; // of the hash of who has the place; 0: nobody
	u32 next;
	u32 zero;
	struct fragment of[WAYS];
};

// What a workload sends and what is sent to others at its cost, or to it from outside,
// are apart. All of it fits four pages.
enum { FRAGMENT_SETS = 16 }; // of each direction

struct fragments {
	struct bpf_spin_lock lock;
	u32 zero;
	struct fragment_set sets[2 * FRAGMENT_SETS];
};

// By workload, made when it first has to remember something.
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, u32);
	__type(value, struct fragments);
} fragments SEC(".maps");

static u8 no_fragments[sizeof(struct fragments)]; // of a workload that is new: more than fits the stack

// hash_fragment differs where only protocols do, so that these have places of their own.
static always_inline u64 hash_fragment(const struct fragment *of, const struct control *c)
{
	return hash_flow((const struct flow_key *)of, c) + of->protocol;
}

static always_inline struct fragment_set *fragment_set_of(struct fragments *f, u64 hash, u32 outbound)
{
	return &f->sets[(outbound & 1) * FRAGMENT_SETS + (hash >> 32 & (FRAGMENT_SETS - 1))];
}

static always_inline int same_datagram(const struct fragment *a, const struct fragment *b)
{
	return same_address(&a->from, &b->from) && same_address(&a->to, &b->to) && a->id == b->id &&
	       a->ifindex == b->ifindex && a->protocol == b->protocol;
}

// look_fragment gives a later fragment the ports of the first. 1: it was remembered. The
// lock is for whole rows: one with another's ports would be judged as what it is not.
noinline int look_fragment(struct fragment *later, u32 payer, u32 outbound)
{
	u32 zero = 0, found = 0;
	const struct control *c = bpf_map_lookup_elem(&control, &zero);
	struct fragments *f = bpf_map_lookup_elem(&fragments, &payer);
	if (!c || !later || !f)
		return 0;
	u64 hash = hash_fragment(later, c);
	struct fragment_set *s = fragment_set_of(f, hash, outbound);

	bpf_spin_lock(&f->lock);
	u64 place = place_of(s->tags, tag_of(hash));
	if (place < WAYS && same_datagram(&s->of[place], later)) {
		later->ports[0] = s->of[place].ports[0];
		later->ports[1] = s->of[place].ports[1];
		found = 1;
	}
	bpf_spin_unlock(&f->lock);
	return found;
}

// keep_fragment remembers a first fragment.
noinline int keep_fragment(const struct fragment *first, u32 payer, u32 outbound)
{
	u32 zero = 0;
	const struct control *c = bpf_map_lookup_elem(&control, &zero);
	if (!c || !first)
		return 0;
	struct fragments *f = bpf_map_lookup_elem(&fragments, &payer);
	if (!f) {
		bpf_map_update_elem(&fragments, &payer, no_fragments, BPF_NOEXIST);
		f = bpf_map_lookup_elem(&fragments, &payer);
		if (!f)
			return 0;
	}
	u64 hash = hash_fragment(first, c);
	struct fragment_set *s = fragment_set_of(f, hash, outbound);
	u32 tag = tag_of(hash);

	bpf_spin_lock(&f->lock);
	u64 place = place_of(s->tags, tag);
	if (place >= WAYS)
		place = s->next++ & (WAYS - 1);
	s->tags[place] = tag;
	s->of[place] = *first;
	bpf_spin_unlock(&f->lock);
	return 0;
}

#endif
