package sensitive

// brCPF: two check digits mod 11.
func brCPF(n number) strength {
	own := n.written(0x3332, "..-")
	if !n.plain() && !own && !n.written(0x92, "-") || same(n.digits()) {
		return no
	}
	ok := brCheck(weighted(n.digits(), 10, 9, 8, 7, 6, 5, 4, 3, 2)) == int(n.d[9]) &&
		brCheck(weighted(n.digits(), 11, 10, 9, 8, 7, 6, 5, 4, 3, 2)) == int(n.d[10])
	return graded(ok, own, strong, weak)
}

func brCheck(sum int) int {
	if r := 11 - sum%11; r < 10 {
		return r
	}
	return 0
}

// brCNPJ: a company, twelve characters and two check digits.
func brCNPJ(n number) strength {
	own := n.written(0x23342, "../-")
	if !n.plain() && !own || same(n.digits()) {
		return no
	}
	plain := weak
	if value(n.d[8:12]) == 1 { // the head office, which nearly all are
		plain = fair
	}
	return graded(cnpj([14]byte(n.d[:14])), own, strong, plain)
}

// cnpj judges the values of the characters: since 2026 the first twelve may be
// letters, whose value is their ASCII code less 48.
func cnpj(v [14]byte) bool {
	return brCheck(weighted(v[:], 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2)) == int(v[12]) &&
		brCheck(weighted(v[:], 6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2)) == int(v[13])
}

// alphanumericCNPJ is 12.ABC.345/01DE-35 at i.
func (s *scan) alphanumericCNPJ(i int) int {
	v := s.value
	if len(v) < i+18 || v[i+2] != '.' || v[i+6] != '.' || v[i+10] != '/' || v[i+15] != '-' || !s.whole(i+18) {
		return 0
	}
	var d [14]byte
	n := 0
	for k, c := range []byte(v[i : i+18]) {
		switch {
		case k == 2 || k == 6 || k == 10 || k == 15:
		case class(c)&(digit|upper) == 0 || n >= 12 && class(c) != digit:
			return 0
		default:
			d[n] = c - '0'
			n++
		}
	}
	if !cnpj(d) {
		return 0
	}
	s.emit(BRCNPJ, strong, i, i+18)
	return i + 18
}

// arCUIT: the type of person, the number, a check digit mod 11.
func arCUIT(n number) strength {
	own := n.written(0x281, "--")
	if !n.plain() && !own {
		return no
	}
	switch value(n.d[:2]) {
	case 20, 23, 24, 25, 26, 27, 30, 33, 34:
	default:
		return no
	}
	check := (11 - weighted(n.digits(), 5, 4, 3, 2, 7, 6, 5, 4, 3, 2)%11) % 11
	return graded(check == int(n.d[10]), own, strong, weak)
}

// clRUT is a number with dots (or without) and a check digit or K after a dash.
func (s *scan) clRUT(n number, start, end int) int {
	v := s.value
	var body number
	switch {
	case n.written(0x2331, "..-") || n.written(0x1331, "..-"):
		body = n
		body.n--
	case (n.written(0x233, "..") || n.written(0x133, "..") || n.written(8, "")) && end+1 < len(v) && v[end] == '-' && v[end+1]|0x20 == 'k' && s.whole(end+2):
		body = n
		end += 2
	case n.written(0x81, "-"):
		body = n
		body.n--
	default:
		return 0
	}
	sum, weight := 0, 2
	for i := body.n - 1; i >= 0; i-- {
		sum += int(body.d[i]) * weight
		if weight++; weight > 7 {
			weight = 2
		}
	}
	check := "0123456789K"[(11-sum%11)%11]
	if class(v[end-1])&letter != 0 && check != 'K' || class(v[end-1]) == digit && v[end-1] != check || !s.whole(end) {
		return 0
	}
	with := strong
	if n.written(0x81, "-") {
		with = weak
	} else if n.plain() {
		with = fair
	}
	if !s.emit(CLRUT, with, start, end) {
		return 0
	}
	return end
}

func inAadhaar(n number) strength {
	own := n.parted(0x444)
	if !n.plain() && !own || n.d[0] < 2 || same(n.digits()) {
		return no
	}
	return graded(verhoeff(n.digits()), own, fair, weak)
}

func jpMyNumber(n number) strength {
	own := n.parted(0x444)
	if !n.plain() && !own || same(n.digits()) {
		return no
	}
	check := weighted(n.digits(), 6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2) % 11
	if check <= 1 {
		check = 0
	} else {
		check = 11 - check
	}
	return graded(check == int(n.d[11]), false, no, weak)
}

// krRRN: YYMMDD-SXXXXXX. Numbers given since October 2020 keep no check digit,
// so without one the name must speak.
func krRRN(n number) strength {
	own := n.written(0x67, "-")
	if !n.plain() && !own || !date(value(n.d[2:4]), value(n.d[4:6])) || n.d[6] == 0 || n.d[6] == 9 {
		return no
	}
	check := (11 - weighted(n.digits(), 2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)%11) % 10
	if check != int(n.d[12]) {
		return graded(true, own, weak, no)
	}
	return graded(true, own, strong, weak)
}

// zaID: YYMMDD, a serial, citizenship, 8 or 9, Luhn.
func zaID(n number) strength {
	if !n.plain() && !n.written(0x6421, "   ") && !n.written(0x643, "  ") || !date(value(n.d[2:4]), value(n.d[4:6])) || n.d[10] > 2 || n.d[11] < 8 {
		return no
	}
	return graded(luhn(n.digits()), true, fair, no)
}

// cnResidentDigits is a resident id (GB 11643) whose check character is a digit.
func cnResidentDigits(n number) strength {
	if !n.plain() {
		return no
	}
	return graded(cnResident(n.d[:17], n.d[17]), true, strong, no)
}

// cnResident judges region, date of birth and the check of ISO 7064 mod 11-2,
// where X is 10.
func cnResident(d []byte, check byte) bool {
	region, year := value(d[:2]), value(d[6:10])
	if region < 11 || region > 91 || year < 1850 || year > 2100 || !date(value(d[10:12]), value(d[12:14])) {
		return false
	}
	sum := weighted(d, 7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
	return (12-sum%11)%11 == int(check)
}
