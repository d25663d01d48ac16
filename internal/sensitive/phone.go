package sensitive

// phoneSign is a telephone number that begins with + or ( at i.
func (s *scan) phoneSign(i int) int {
	v := s.value
	if i > 0 && class(v[i-1]) != 0 || i+1 >= len(v) {
		return 0
	}
	var d [15]byte
	n, k, parts := 0, i+1, 0
	if v[i] == '(' && v[i+1] == '+' {
		k++
	}
	international := v[k-1] == '+'
	end := k
	for k < len(v) {
		switch c := v[k]; {
		case class(c) == digit:
			if n == len(d) {
				return 0
			}
			d[n] = c - '0'
			n++
			end = k + 1
		case c == ' ' || c == '-' || c == '.' || c == '(' || c == ')' || c == '/':
			if k == end {
				parts++
			}
			if k-end > 1 {
				k = len(v)
			}
		default:
			if class(c) != 0 {
				return 0
			}
			k = len(v)
		}
		k++
	}
	if parts > 7 || !s.whole(end) {
		return 0
	}
	with := no
	switch {
	case international && e164(d[:n]):
		with = fair
	case !international && n == 10 && v[i+4] == ')' && nanp(d[:n]):
		with = fair
	case !international && n >= 8 && n <= 12 && d[0] == 0:
		with = weak // (030) 901820
	}
	if with == no || !s.emit(Phone, with, i, end) {
		if international && n > 0 {
			return end // its groups are no numbers of their own
		}
		return 0
	}
	return end
}

// nationalPhone is how much a number without + is a telephone number.
func (s *scan) nationalPhone(n number, h hint) Confidence {
	d := n.digits()
	named := h.kind == Phone
	if named && n.n >= 7 && n.n <= 15 && !same(d) {
		return Certain - 1 // no checksum: likely
	}
	own := n.written(0x334, "--") || n.written(0x334, "..") || n.written(0x1334, "---")
	switch {
	case own && n.n == 10 && nanp(d), own && n.n == 11 && d[0] == 1 && nanp(d[1:]):
		return weigh(Phone, fair, h)
	case n.groups == 0x22222 && (n.seps == "    " || n.seps == "....") && d[0] == 0 && d[1] != 0:
		return weigh(Phone, fair, h) // France
	case (n.parted(0x56) || n.parted(0x46) || n.parted(0x533) || n.parted(0x347) || n.parted(0x344) || n.parted(0x443)) && d[0] == 0 && d[1] != 0:
		return weigh(Phone, fair, h) // Britain, Germany, Japan and others dial 0 first
	}
	return 0
}

// nanp: North American numbers; area and exchange begin with 2 to 9, and N11
// are services.
func nanp(d []byte) bool {
	return d[0] >= 2 && d[3] >= 2 && !(d[1] == 1 && d[2] == 1) && !(d[4] == 1 && d[5] == 1)
}

// e164: a country code that is given out, and a length that it can have.
func e164(d []byte) bool {
	if len(d) < 7 || len(d) > 15 || d[0] == 0 {
		return false
	}
	switch d[0] {
	case 1:
		return len(d) == 11 && nanp(d[1:])
	case 7:
		return len(d) == 11
	}
	two := value(d[:2])
	switch two {
	case 20, 27, 30, 31, 32, 33, 34, 36, 39, 40, 41, 43, 44, 45, 46, 47, 48, 49,
		51, 52, 53, 54, 55, 56, 57, 58, 60, 61, 62, 63, 64, 65, 66, 81, 82, 84, 86, 90, 91, 92, 93, 94, 95, 98:
		return len(d) >= 9 && d[2] != 0
	case 28, 83, 89:
		return false // not given out
	}
	switch value(d[:3]) {
	case 210, 214, 215, 217, 219, 259, 292, 293, 294, 295, 296, 384, 388, 422, 424, 425, 426, 427, 428, 429,
		693, 694, 695, 696, 697, 698, 699, 801, 802, 803, 804, 805, 806, 807, 809, 851, 854, 857, 858, 859,
		871, 872, 873, 874, 875, 876, 877, 879, 884, 885, 887, 889, 969, 978, 990, 997, 999:
		return false
	}
	return len(d) >= 8
}
