package sensitive

// machineReadable is the zone of a travel document (ICAO 9303) around the first
// < at i: lines of 30, 36 or 44 characters, with or without breaks between them.
// The check digits of number, birth and expiry must be right.
func (s *scan) machineReadable(i int) int {
	v := s.value
	if i < 1 || i > 8 && v[i-1] == '<' {
		return 0
	}
	from := i
	for from > 0 && zone(v[from-1]) {
		from--
	}
	var z [90]byte
	n, k := 0, from
	for k < len(v) && n < len(z) {
		switch c := v[k]; {
		case zone(c):
			z[n] = c
			n++
		case c == '\n' || c == '\r' || c == ' ' || c == '\\' && k+1 < len(v) && (v[k+1] == 'n' || v[k+1] == 'r'):
			if c == '\\' {
				k++
			}
		default:
			if n < 72 {
				return 0
			}
			goto judge
		}
		k++
	}
judge:
	ok := false
	switch {
	case n >= 88 && (z[0] == 'P' || z[0] == 'V'):
		ok = checked(z[44:53], z[53]) && checked(z[57:63], z[63]) && checked(z[65:71], z[71])
	case n >= 90:
		ok = checked(z[5:14], z[14]) && checked(z[30:36], z[36]) && checked(z[38:44], z[44])
	case n >= 72:
		ok = checked(z[36:45], z[45]) && checked(z[49:55], z[55]) && checked(z[57:63], z[63])
	}
	if !ok {
		return 0
	}
	s.keep(MachineReadable, Certain, from, k)
	return k
}

func zone(c byte) bool { return c == '<' || class(c)&(digit|upper) != 0 }

// checked: weights 7, 3, 1; letters are 10 to 35, filler is 0.
func checked(field []byte, check byte) bool {
	sum := 0
	for i, c := range field {
		v := 0
		switch {
		case class(c) == digit:
			v = int(c - '0')
		case class(c) == upper:
			v = int(c-'A') + 10
		}
		sum += v * [...]int{7, 3, 1}[i%3]
	}
	return check == byte('0'+sum%10) || check == '<' && sum == 0
}
