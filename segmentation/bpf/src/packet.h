// SPDX-License-Identifier: MIT OR GPL-2.0-only
//
// From bytes to a packet: Ethernet, VLAN tags, IPv4 with options, IPv6 with
// extension headers, fragments, and the few bytes of the transport that matter.
#ifndef GABION_PACKET_H
#define GABION_PACKET_H

#include "tables.h"

enum kind {
	KIND_FLOW = 0,  // of a flow: addresses, protocol and ports are known
	KIND_ERROR,     // an ICMP error: about a flow, perhaps
	KIND_ARP,
	KIND_NEIGHBOUR, // neighbour discovery or MLD, from the link itself
	KIND_FRAGMENT,  // not the first: no ports
	KIND_OTHER,     // not IP
	KIND_MALFORMED,
};

enum {
	ECHO_REPLY = 1,
	ECHO_REQUEST,
};

struct packet {
	union address from;
	union address to;
	u16 ports[2]; // of from and to, host order; an echo has its id in both
	u8 protocol;  // ICMP for ICMPv6 too
	u8 flags;     // of TCP
	u8 hops;
	u8 version;
	u8 kind;
	u8 first;     // the first of several fragments
	u8 type;      // of ICMP
	u8 echo;
	u32 l3;
	u32 l4;
	u32 fragment;
};

static always_inline void map_ipv4(union address *to, u32 from)
{
	to->d[0] = 0;
	to->w[2] = 0xffff0000;
	to->w[3] = from;
}

static always_inline int is_link_local(const union address *a)
{
	return (a->w[0] & 0x0000c0ff) == 0x000080fe;
}

// is_link_scope says whether no router forwards packets to an address: those of the
// link, and groups of that scope (RFC 4291, 2.7).
static always_inline int is_link_scope(const union address *a)
{
	return is_link_local(a) || (a->b[0] == 0xff && (a->b[1] & 0x0f) <= 2);
}

static always_inline int same_address(const union address *a, const union address *b)
{
	return !((a->d[0] ^ b->d[0]) | (a->d[1] ^ b->d[1]));
}

static always_inline int is_mapped(const union address *a)
{
	return a->d[0] == 0 && a->w[2] == 0xffff0000;
}

// icmp reads what is special about an ICMP message. Neighbour discovery counts
// only with a hop limit that no router has touched (RFC 4861, 7.1), MLD only from
// the link and to a group (RFC 3810, 5).
static always_inline void icmp(struct packet *p, u8 type, u8 code, u16 id)
{
	p->type = type;
	if (p->version == 4) {
		if (type == 8 || type == 0)
			p->echo = type == 8 ? ECHO_REQUEST : ECHO_REPLY;
		else if (type == 3 || type == 11 || type == 12)
			p->kind = KIND_ERROR;
	} else {
		if (type == 128 || type == 129)
			p->echo = type == 128 ? ECHO_REQUEST : ECHO_REPLY;
		else if (type >= 1 && type <= 4)
			p->kind = KIND_ERROR;
		else if (type >= 133 && type <= 137 && p->hops == 255 && code == 0)
			p->kind = KIND_NEIGHBOUR;
		else if (((type >= 130 && type <= 132) || type == 143) && p->hops == 1 && p->to.b[0] == 0xff &&
			 (is_link_local(&p->from) || (!p->from.d[0] && !p->from.d[1])))
			p->kind = KIND_NEIGHBOUR;
	}
	if (p->echo)
		p->ports[0] = p->ports[1] = id;
}

// transport takes the fixed bytes of the transport's header.
static always_inline void transport(struct packet *p, const u8 *b)
{
	u16 from = (u16)b[0] << 8 | b[1], to = (u16)b[2] << 8 | b[3];

	switch (p->protocol) {
	case IPPROTO_TCP:
		if ((b[12] >> 4) < 5)
			p->kind = KIND_MALFORMED;
		p->flags = b[13];
		// fall through
	case IPPROTO_UDP:
	case IPPROTO_SCTP:
		p->ports[0] = from;
		p->ports[1] = to;
		break;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		if ((p->version == 4) == (p->protocol == IPPROTO_ICMP))
			icmp(p, b[0], b[1], (u16)b[4] << 8 | b[5]);
		p->protocol = IPPROTO_ICMP;
		break;
	}
}

// header_size is how much of a transport's header must be there.
static always_inline u32 header_size(u8 protocol)
{
	switch (protocol) {
	case IPPROTO_TCP:
		return 20;
	case IPPROTO_SCTP:
		return 12;
	case IPPROTO_UDP:
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return 8;
	}
	return 0;
}

static always_inline void read_transport(struct __sk_buff *skb, struct packet *p)
{
	void *data = (void *)(u64)skb->data, *end = (void *)(u64)skb->data_end;
	u32 size = header_size(p->protocol);
	u8 b[20] = {};

	if (!size)
		return;
	// The usual places, without a call.
	if (likely(p->l4 == 34 && data + 54 <= end)) {
		transport(p, data + 34);
		return;
	}
	if (likely(p->l4 == 54 && data + 74 <= end)) {
		transport(p, data + 54);
		return;
	}
	if (size == 20) {
		if (bpf_skb_load_bytes(skb, p->l4, b, 20))
			goto malformed;
	} else if (size == 12) {
		if (bpf_skb_load_bytes(skb, p->l4, b, 12))
			goto malformed;
	} else if (bpf_skb_load_bytes(skb, p->l4, b, 8)) {
		goto malformed;
	}
	transport(p, b);
	return;
malformed:
	p->kind = KIND_MALFORMED;
}

// goes_on says whether the options of an IPv4 packet route it on from where it is sent to
// (RFC 791, 3.1): that address then hides where the packet goes, as a routing header of
// IPv6 does that is not used up. So does what cannot be read.
noinline int goes_on(struct __sk_buff *skb, u32 at, u32 end)
{
	for (int i = 0; i < 40 && at < end; i++) {
		u8 b[3];
		if (bpf_skb_load_bytes(skb, at, b, 1))
			return 1;
		if (b[0] == IPOPT_END)
			return 0;
		if (b[0] == IPOPT_NOOP) {
			at++;
			continue;
		}
		if (bpf_skb_load_bytes(skb, at, b, 2) || b[1] < 2)
			return 1;
		if (b[0] == IPOPT_LSRR || b[0] == IPOPT_SSRR) {
			if (bpf_skb_load_bytes(skb, at, b, 3) || b[2] <= b[1])
				return 1;
		}
		at += b[1];
	}
	return 0;
}

static always_inline void read_ipv4(struct __sk_buff *skb, struct packet *p, const struct ipv4 *h)
{
	u32 size = (h->version_ihl & 0x0f) * 4;
	u16 fragment = swap16(h->fragment);

	p->version = 4;
	p->hops = h->ttl;
	p->protocol = h->protocol;
	map_ipv4(&p->from, h->from);
	map_ipv4(&p->to, h->to);
	if ((h->version_ihl >> 4) != 4 || size < 20 || p->l3 + size > skb->len || swap16(h->length) < size) {
		// A length of 0 is a large packet that was not cut yet (BIG TCP).
		if ((h->version_ihl >> 4) != 4 || size < 20 || p->l3 + size > skb->len || h->length) {
			p->kind = KIND_MALFORMED;
			return;
		}
	}
	p->l4 = p->l3 + size;
	if (unlikely(size > 20) && goes_on(skb, p->l3 + 20, p->l4)) {
		p->kind = KIND_MALFORMED;
		return;
	}
	if (unlikely(fragment & 0x3fff)) {
		u32 whole = header_size(p->protocol), at = (fragment & 0x1fff) * 8;

		p->fragment = h->id;
		// The first must have all of the transport's header, and no later one any of it:
		// what stands behind the end of the first is not what the receiver puts together
		// (RFC 1858, RFC 3128).
		if (at ? at < whole : swap16(h->length) < size + whole) {
			p->kind = KIND_MALFORMED;
			return;
		}
		if (at) {
			p->kind = KIND_FRAGMENT;
			if (p->protocol == IPPROTO_ICMPV6)
				p->protocol = IPPROTO_ICMP;
			return;
		}
		p->first = 1;
	}
	read_transport(skb, p);
}

// skip_extensions walks the extension headers of IPv6 (RFC 8200, 4) to the
// transport. A routing header that is not used up hides where the packet goes:
// such a packet cannot be judged.
noinline int skip_extensions(struct __sk_buff *skb, struct packet *p)
{
	if (!p)
		return KIND_MALFORMED;
	for (int i = 0; i < 8; i++) {
		u8 b[8];
		switch (p->protocol) {
		case IPPROTO_HOPOPTS:
		case IPPROTO_DSTOPTS:
		case IPPROTO_ROUTING:
			if (bpf_skb_load_bytes(skb, p->l4, b, 8))
				return KIND_MALFORMED;
			if (p->protocol == IPPROTO_ROUTING && b[3])
				return KIND_MALFORMED;
			if (p->protocol == IPPROTO_HOPOPTS && i)
				return KIND_MALFORMED;
			p->l4 += 8 + (u32)b[1] * 8;
			break;
		case IPPROTO_AH:
			if (bpf_skb_load_bytes(skb, p->l4, b, 8))
				return KIND_MALFORMED;
			p->l4 += 8 + (u32)b[1] * 4;
			break;
		case IPPROTO_FRAGMENT:
			if (bpf_skb_load_bytes(skb, p->l4, b, 8))
				return KIND_MALFORMED;
			p->fragment = (u32)b[4] << 24 | (u32)b[5] << 16 | (u32)b[6] << 8 | b[7];
			p->protocol = b[0];
			p->l4 += 8;
			if (b[2] || (b[3] & 0xf8))
				return ((u32)b[2] << 8 | (b[3] & 0xf8)) < header_size(b[0]) ? KIND_MALFORMED : KIND_FRAGMENT;
			p->first = b[3] & 1;
			continue;
		default:
			return p->l4 > skb->len ? KIND_MALFORMED : KIND_FLOW;
		}
		p->protocol = b[0];
	}
	return KIND_MALFORMED;
}

static always_inline void read_ipv6(struct __sk_buff *skb, struct packet *p, const struct ipv6 *h)
{
	p->version = 6;
	p->hops = h->hops;
	p->protocol = h->next;
	p->from.d[0] = h->from[0];
	p->from.d[1] = h->from[1];
	p->to.d[0] = h->to[0];
	p->to.d[1] = h->to[1];
	p->l4 = p->l3 + sizeof(*h);
	if ((h->version_class >> 4) != 6 || is_mapped(&p->from) || is_mapped(&p->to)) {
		p->kind = KIND_MALFORMED;
		return;
	}
	if (unlikely(p->protocol != IPPROTO_TCP && p->protocol != IPPROTO_UDP && p->protocol != IPPROTO_ICMPV6)) {
		u32 end = p->l4 + swap16(h->length);
		p->kind = skip_extensions(skb, p);
		if (p->first && p->l4 + header_size(p->protocol) > end)
			p->kind = KIND_MALFORMED; // as in read_ipv4
		if (p->kind == KIND_FRAGMENT && p->protocol == IPPROTO_ICMPV6)
			p->protocol = IPPROTO_ICMP;
		if (p->kind)
			return;
	}
	read_transport(skb, p);
}

// read_packet fills p, which is zero. It makes the headers linear first if they
// are not.
static noinline void read_packet(struct __sk_buff *skb, struct packet *p)
{
	void *data = (void *)(u64)skb->data, *end = (void *)(u64)skb->data_end;
	const struct ethernet *e = data;

	if (unlikely(data + 74 > end && end - data < skb->len)) {
		bpf_skb_pull_data(skb, skb->len < 74 ? skb->len : 74);
		data = (void *)(u64)skb->data;
		end = (void *)(u64)skb->data_end;
		e = data;
	}
	p->kind = KIND_MALFORMED;
	if (data + sizeof(*e) > end)
		return;
	u16 type = swap16(e->type);
	p->l3 = sizeof(*e);
	if (unlikely(type == ETHERTYPE_VLAN || type == ETHERTYPE_QINQ)) {
		// At most two tags behind one that the kernel has taken off: what carries more
		// is no packet of a workload.
		if (data + 18 > end)
			return;
		type = swap16(*(u16 *)(data + 16));
		p->l3 = 18;
		if (type == ETHERTYPE_VLAN) {
			if (data + 22 > end)
				return;
			type = swap16(*(u16 *)(data + 20));
			p->l3 = 22;
		}
		if (type == ETHERTYPE_VLAN || type == ETHERTYPE_QINQ)
			return;
	}
	p->kind = KIND_FLOW;
	if (likely(type == ETHERTYPE_IPV4)) {
		struct ipv4 h;
		const struct ipv4 *at = data + 14;
		if (unlikely(p->l3 != 14)) {
			if (bpf_skb_load_bytes(skb, p->l3, &h, sizeof(h)))
				goto malformed;
			read_ipv4(skb, p, &h);
			return;
		}
		if ((void *)(at + 1) > end)
			goto malformed;
		read_ipv4(skb, p, at);
	} else if (type == ETHERTYPE_IPV6) {
		struct ipv6 h;
		const struct ipv6 *at = data + 14;
		if (unlikely(p->l3 != 14)) {
			if (bpf_skb_load_bytes(skb, p->l3, &h, sizeof(h)))
				goto malformed;
			read_ipv6(skb, p, &h);
			return;
		}
		if ((void *)(at + 1) > end)
			goto malformed;
		read_ipv6(skb, p, at);
	} else {
		p->kind = type == ETHERTYPE_ARP ? KIND_ARP : KIND_OTHER;
	}
	return;
malformed:
	p->kind = KIND_MALFORMED;
}

// read_inner reads the head of the packet that an ICMP error is about.
noinline int read_inner(struct __sk_buff *skb, const struct packet *outer, struct packet *p)
{
	if (!outer || !p)
		return -1;
	u32 at = outer->l4 + 8;
	u8 b[8];

	p->version = outer->version;
	if (outer->version == 4) {
		struct ipv4 h;
		if (bpf_skb_load_bytes(skb, at, &h, sizeof(h)) || (h.version_ihl & 0x0f) < 5 || (h.fragment & swap16(0x1fff)))
			return -1;
		map_ipv4(&p->from, h.from);
		map_ipv4(&p->to, h.to);
		p->protocol = h.protocol;
		at += (h.version_ihl & 0x0f) * 4;
	} else {
		struct ipv6 h;
		if (bpf_skb_load_bytes(skb, at, &h, sizeof(h)))
			return -1;
		p->from.d[0] = h.from[0];
		p->from.d[1] = h.from[1];
		p->to.d[0] = h.to[0];
		p->to.d[1] = h.to[1];
		p->protocol = h.next;
		at += sizeof(h);
		if (p->protocol == IPPROTO_FRAGMENT) {
			if (bpf_skb_load_bytes(skb, at, b, 8) || b[2] || (b[3] & 0xf8))
				return -1;
			p->protocol = b[0];
			at += 8;
		}
	}
	if (!header_size(p->protocol))
		return 0;
	if (bpf_skb_load_bytes(skb, at, b, 8))
		return -1;
	if (p->protocol == IPPROTO_ICMP || p->protocol == IPPROTO_ICMPV6) {
		p->protocol = IPPROTO_ICMP;
		icmp(p, b[0], b[1], (u16)b[4] << 8 | b[5]);
	} else {
		p->ports[0] = (u16)b[0] << 8 | b[1];
		p->ports[1] = (u16)b[2] << 8 | b[3];
	}
	return 0;
}

#endif
