// SPDX-License-Identifier: MIT OR GPL-2.0-only
//
// The little of the kernel's interface that these programs need, in their own
// words: layouts and numbers are those of include/uapi/linux/bpf.h and of the
// RFCs. A header of one's own makes the objects the same on every machine.
#ifndef GABION_CAPTURE_KERNEL_H
#define GABION_CAPTURE_KERNEL_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define SEC(name) __attribute__((section(name), used))
#define always_inline inline __attribute__((always_inline))
#define noinline __attribute__((noinline))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define __uint(name, val) int(*name)[val]
#define __type(name, val) typeof(val) *name

// Network order is big endian; the objects are built for little endian only.
#define swap16(x) __builtin_bswap16(x)
#define swap32(x) __builtin_bswap32(x)

enum {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_RINGBUF = 27,
	BPF_NOEXIST = 1,
	TCX_NEXT = -1, // what a TCX program answers: the next one decides
};

struct __sk_buff {
	u32 len;
	u32 pkt_type;
	u32 mark;
	u32 queue_mapping;
	u32 protocol;
	u32 vlan_present;
	u32 vlan_tci;
	u32 vlan_proto;
	u32 priority;
	u32 ingress_ifindex;
	u32 ifindex;
	u32 tc_index;
	u32 cb[5];
	u32 hash;
	u32 tc_classid;
	u32 data;
	u32 data_end;
};

static void *(*const bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static long (*const bpf_map_update_elem)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static long (*const bpf_map_delete_elem)(void *map, const void *key) = (void *)3;
static u64 (*const bpf_ktime_get_ns)(void) = (void *)5;
static u32 (*const bpf_get_smp_processor_id)(void) = (void *)8;
static u64 (*const bpf_get_current_pid_tgid)(void) = (void *)14;
static long (*const bpf_skb_load_bytes)(const void *skb, u32 offset, void *to, u32 len) = (void *)26;
static u64 (*const bpf_get_socket_cookie)(void *ctx) = (void *)46;
static u64 (*const bpf_get_current_cgroup_id)(void) = (void *)80;
static long (*const bpf_probe_read_user)(void *to, u32 size, const void *from) = (void *)112;
static long (*const bpf_probe_read_kernel)(void *to, u32 size, const void *from) = (void *)113;
static u64 (*const bpf_get_current_ancestor_cgroup_id)(int level) = (void *)123;
static void *(*const bpf_ringbuf_reserve)(void *ringbuf, u64 size, u64 flags) = (void *)131;
static void (*const bpf_ringbuf_submit)(void *data, u64 flags) = (void *)132;
static void (*const bpf_ringbuf_discard)(void *data, u64 flags) = (void *)133;
static long (*const bpf_loop)(u32 n, long (*each)(u64 i, void *context), void *context, u64 flags) = (void *)181;
static u64 (*const bpf_ringbuf_query)(void *ringbuf, u64 flags) = (void *)134;
static struct task_struct *(*const bpf_get_current_task_btf)(void) = (void *)158;
static u64 (*const bpf_get_attach_cookie)(void *ctx) = (void *)174;

enum {
	ETHERNET = 14, // bytes of its header
	ETHERTYPE_IPV4 = 0x0800,
	ETHERTYPE_IPV6 = 0x86dd,
	IPPROTO_TCP = 6,
};

struct ipv4 {
	u8 version_ihl;
	u8 tos;
	u16 length;
	u16 id;
	u16 fragment; // flags and offset
	u8 ttl;
	u8 protocol;
	u16 check;
	u32 from;
	u32 to;
};

struct ipv6 {
	u8 version_class;
	u8 flow[3];
	u16 length;
	u8 next;
	u8 hops;
	u64 from[2];
	u64 to[2];
} __attribute__((packed));

struct tcp {
	u16 from;
	u16 to;
	u32 seq;
	u32 ack;
	u8 offset; // of the payload, in words, in the upper half
	u8 flags;
	u16 window;
	u16 check;
	u16 urgent;
};

enum {
	TCP_FIN = 0x01,
	TCP_SYN = 0x02,
	TCP_RST = 0x04,
	TCP_ACK = 0x10,
};

#endif
