// SPDX-License-Identifier: MIT OR GPL-2.0-only
//
// How requests begin: methods are those of RFC 9110, of WebDAV, and the preface of
// HTTP/2 (RFC 9113, 3.4).
#ifndef GABION_REQUEST_H
#define GABION_REQUEST_H

#include "kernel.h"

// word is up to eight bytes of text as a little endian machine reads them.
#define word(a, b, c, d, e, f, g, h) \
	((u64)(a) | (u64)(b) << 8 | (u64)(c) << 16 | (u64)(d) << 24 | (u64)(e) << 32 | (u64)(f) << 40 | (u64)(g) << 48 | (u64)(h) << 56)
#define begins(a, b, c, d, e, f, g, h) \
	(!((w ^ word(a, b, c, d, e, f, g, h)) & known & \
	   word((a) ? 255 : 0, (b) ? 255 : 0, (c) ? 255 : 0, (d) ? 255 : 0, (e) ? 255 : 0, (f) ? 255 : 0, (g) ? 255 : 0, (h) ? 255 : 0)))
#define HTTP2 word('P', 'R', 'I', ' ', '*', ' ', 'H', 'T')

// is_request says whether bytes begin as a request does, as far as they are known.
static always_inline int is_request(u64 w, u64 known)
{
	return begins('G', 'E', 'T', ' ', 0, 0, 0, 0) || begins('P', 'O', 'S', 'T', ' ', 0, 0, 0) ||
	       begins('P', 'U', 'T', ' ', 0, 0, 0, 0) || begins('H', 'E', 'A', 'D', ' ', 0, 0, 0) ||
	       begins('D', 'E', 'L', 'E', 'T', 'E', ' ', 0) || begins('P', 'A', 'T', 'C', 'H', ' ', 0, 0) ||
	       begins('O', 'P', 'T', 'I', 'O', 'N', 'S', ' ') || begins('C', 'O', 'N', 'N', 'E', 'C', 'T', ' ') ||
	       begins('T', 'R', 'A', 'C', 'E', ' ', 0, 0) || begins('Q', 'U', 'E', 'R', 'Y', ' ', 0, 0) ||
	       begins('P', 'R', 'O', 'P', 'F', 'I', 'N', 'D') || begins('P', 'R', 'O', 'P', 'P', 'A', 'T', 'C') ||
	       begins('M', 'K', 'C', 'O', 'L', ' ', 0, 0) || begins('R', 'E', 'P', 'O', 'R', 'T', ' ', 0) ||
	       begins('S', 'E', 'A', 'R', 'C', 'H', ' ', 0) || begins('L', 'O', 'C', 'K', ' ', 0, 0, 0) ||
	       begins('M', 'O', 'V', 'E', ' ', 0, 0, 0) || begins('P', 'R', 'I', ' ', '*', ' ', 'H', 'T');
}

#endif
