// SPDX-License-Identifier: MIT OR GPL-2.0-only
//
// Workloads that are processes on the host: their packets are judged where the
// kernel hands them to or takes them from a socket, by the cgroup of the socket. The
// programs are on the root of the v2 hierarchy, and let pass what is in no cgroup
// that is a workload.
#ifndef GABION_GROUP_H
#define GABION_GROUP_H

#include "packet.h"

// How deep in the hierarchy a workload's cgroup may be. A packet costs one look-up a
// level that its socket's cgroup has, not more.
enum { GROUP_DEPTH = 16 };

enum {
	GROUP_DROP = 0,
	GROUP_PASS = 1,
};

// group_of_packet finds the nearest cgroup that is a workload, of those that the
// packet's socket is in. Answers the key of its endpoint, 0 if there is none.
static noinline u32 group_of_packet(struct __sk_buff *skb)
{
	u32 found = 0;

	for (int level = 1; level <= GROUP_DEPTH; level++) {
		u64 id = bpf_skb_ancestor_cgroup_id(skb, level);
		if (!id)
			break;
		u32 *key = bpf_map_lookup_elem(&groups, &id);
		if (key)
			found = *key;
	}
	return found;
}

// group_of_task is the same for the process that runs.
static noinline u32 group_of_task(void)
{
	u32 found = 0;

	for (int level = 1; level <= GROUP_DEPTH; level++) {
		u64 id = bpf_get_current_ancestor_cgroup_id(level);
		if (!id)
			break;
		u32 *key = bpf_map_lookup_elem(&groups, &id);
		if (key)
			found = *key;
	}
	return found;
}

static always_inline int is_loopback(const union address *a)
{
	if (is_mapped(a))
		return a->b[12] == 127;
	return !a->d[0] && !a->w[2] && a->w[3] == 0x01000000;
}

// read_socket_packet is read_packet where there is no link layer: the first byte is
// that of the IP header.
static noinline void read_socket_packet(struct __sk_buff *skb, struct packet *p)
{
	union {
		struct ipv4 v4;
		struct ipv6 v6;
	} h = {};
	u8 first;

	p->kind = KIND_MALFORMED;
	if (bpf_skb_load_bytes(skb, 0, &first, 1))
		return;
	if (first >> 4 == 4) {
		if (bpf_skb_load_bytes(skb, 0, &h.v4, sizeof(h.v4)))
			return;
		p->kind = KIND_FLOW;
		read_ipv4(skb, p, &h.v4);
	} else if (first >> 4 == 6) {
		if (bpf_skb_load_bytes(skb, 0, &h.v6, sizeof(h.v6)))
			return;
		p->kind = KIND_FLOW;
		read_ipv6(skb, p, &h.v6);
	}
}

#endif
