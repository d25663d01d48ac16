package sensitive

import (
	"net/netip"
	"strings"
)

// at looks around an @ for an e-mail address, or for the credentials of a URL.
func (s *scan) at(i int) {
	v := s.value
	if s.userinfo(i) {
		return
	}
	from := i
	for from > 0 && i-from < 64 && local(v[from-1]) {
		from--
	}
	for from < i && (v[from] == '.' || v[from] == '\'' || v[from] == '-') {
		from++
	}
	to, dot := i+1, 0
	for to < len(v) && to-i < 255 && (class(v[to])&alnum != 0 || v[to] == '-' || v[to] == '.' || v[to] >= 0x80) {
		if v[to] == '.' {
			dot = to
		}
		to++
	}
	for to > i+1 && (v[to-1] == '.' || v[to-1] == '-') { // the end of a sentence
		to--
		if dot >= to {
			dot = strings.LastIndexByte(v[i:to], '.')
			if dot > 0 {
				dot += i
			}
		}
	}
	if from == i || strings.Trim(v[from:i], ".+-!#$%'*^`~_") == "" || dot <= i+1 || to-dot < 3 || v[i-1] == '.' || v[i+1] == '.' || v[i+1] == '-' || strings.Contains(v[i:to], "..") {
		return
	}
	if top := v[dot+1 : to]; !topDomain(top) {
		return
	}
	s.emit(Email, strong, from, to)
}

// local says whether a byte may be in the part before the @: not
// quotes, nor the signs that part fields of a text or a query.
func local(c byte) bool {
	return class(c) != 0 || c >= 0x80 || strings.IndexByte(".+-!#$%'*^`~", c) >= 0
}

// topDomain: letters, or punycode, and no file's extension that follows an @ in
// asset names (logo@2x.png).
func topDomain(top string) bool {
	switch top {
	case "png", "jpg", "jpeg", "gif", "svg", "webp", "css", "js", "html", "json":
		return false
	}
	if strings.HasPrefix(top, "xn--") {
		return true
	}
	for i := range len(top) {
		if class(top[i])&letter == 0 && top[i] < 0x80 {
			return false
		}
	}
	return len(top) <= 24
}

// userinfo is scheme://user:password@host at the @.
func (s *scan) userinfo(i int) bool {
	v := s.value
	from := max(0, i-256)
	slashes := strings.LastIndex(v[from:i], "://")
	if slashes < 0 || i+1 >= len(v) || class(v[i+1])&alnum == 0 && v[i+1] != '[' {
		return false
	}
	slashes += from
	info := v[slashes+3 : i]
	_, password, two := strings.Cut(info, ":")
	if !two || len(password) < 2 || strings.ContainsAny(info, " /?#\"<>") || strings.HasPrefix(password, "{") || strings.HasPrefix(password, "$") || masked(password) {
		return false
	}
	start := slashes
	for start > 0 && (class(v[start-1]) != 0 || v[start-1] == '+' || v[start-1] == '.' || v[start-1] == '-') {
		start--
	}
	end := i + 1
	for end < len(v) && strings.IndexByte(" \t\r\n\"'<>", v[end]) < 0 {
		end++
	}
	s.keep(ConnectionString, Certain, start, end)
	return true
}

// ipv4 judges four groups with dots.
func (s *scan) ipv4(n number, start, end int) bool {
	var a [4]byte
	large, k := false, 0
	for g := range 4 {
		width := int(n.groups >> (12 - 4*g) & 0xf)
		v := value(n.d[k : k+width])
		if width > 3 || v > 255 || width > 1 && n.d[k] == 0 {
			return false
		}
		large = large || v >= 30
		a[g] = byte(v)
		k += width
	}
	return s.address(netip.AddrFrom4(a), large, start, end)
}

// address: those of private networks are nobody's, unless the name says that a
// client has them; small numbers may be a version.
func (s *scan) address(a netip.Addr, telling bool, start, end int) bool {
	with := fair
	switch {
	case a.IsUnspecified(), a.IsMulticast(), a.Is4() && a.As4()[0] >= 240:
		return false
	case a.IsPrivate(), a.IsLoopback(), a.IsLinkLocalUnicast(), !telling:
		with = weak
	}
	return s.emit(IPAddress, with, start, end)
}

// colons looks at a word that a colon or dash may carry on: an IPv6 or a MAC
// address. It returns where to go on, 0 if there is none.
func (s *scan) colons(i, j int) int {
	v := s.value
	if j >= len(v) || v[j] != ':' && v[j] != '-' || j-i > 4 || s.joined(i) {
		return 0
	}
	for _, c := range []byte(v[i:j]) {
		if !isHex(c) {
			return 0
		}
	}
	if j-i == 2 {
		if next := s.mac(i); next > 0 {
			return next
		}
	}
	if v[j] == ':' {
		return s.ipv6(i)
	}
	return 0
}

// joined says whether the word goes on from what stands before it.
func (s *scan) joined(i int) bool {
	return i > 0 && (s.value[i-1] == ':' || s.value[i-1] == '-')
}

// colonsFirst is an IPv6 address that begins with its zeros.
func (s *scan) colonsFirst(i int) int {
	if strings.HasPrefix(s.value[i:], "::") && (i == 0 || class(s.value[i-1]) == 0 && s.value[i-1] != ':') {
		return s.ipv6(i)
	}
	return 0
}

func (s *scan) ipv6(i int) int {
	v := s.value
	end, colons := i, 0
	for end < len(v) && end-i < 46 && (isHex(v[end]) || v[end] == ':' || v[end] == '.') {
		if v[end] == ':' {
			colons++
		}
		end++
	}
	for end > i && (v[end-1] == '.' || v[end-1] == ':' && !strings.HasSuffix(v[i:end], "::")) {
		end--
	}
	if colons < 2 || end-i < 4 || end < len(v) && class(v[end]) != 0 {
		return 0
	}
	if colons < 7 && !strings.Contains(v[i:end], "::") {
		return 0
	}
	a, err := netip.ParseAddr(v[i:end])
	if err != nil {
		return 0
	}
	s.address(a, true, i, end)
	return end
}

// mac is six pairs with colons or dashes at i. Groups and protocols have
// addresses too; those are nobody's.
func (s *scan) mac(i int) int {
	v := s.value
	if len(v) < i+17 || i+17 < len(v) && (class(v[i+17]) != 0 || v[i+17] == v[i+2]) {
		return 0
	}
	zero := true
	for k := range 17 {
		c := v[i+k]
		switch {
		case k%3 == 2:
			if c != v[i+2] {
				return 0
			}
		case !isHex(c):
			return 0
		default:
			zero = zero && c == '0'
		}
	}
	if zero || v[i+1]|0x20 == 'f' && v[i]|0x20 == 'f' {
		return i + 17
	}
	s.emit(MACAddress, fair, i, i+17)
	return i + 17
}
