package sensitive

// czRodneCislo: birth number of Czechia and Slovakia, YYMMDD/XXXX with mod 11;
// women's months have 50 added, and 20 or 70 where a day's numbers ran out.
func czRodneCislo(n number) strength {
	own := n.written(0x64, "/")
	if !n.plain() && !own {
		return no
	}
	month := value(n.d[2:4])
	switch {
	case month > 70:
		month -= 70
	case month > 50:
		month -= 50
	case month > 20:
		month -= 20
	}
	ok := date(month, value(n.d[4:6])) && (mod(n.digits(), 11) == 0 || mod(n.d[:9], 11) == 10 && n.d[9] == 0)
	return graded(ok, own, strong, weak)
}

// sePersonnummer: YYMMDD-NNNC or YYYYMMDD-NNNC, Luhn over the last ten; days of
// co-ordination numbers have 60 added.
func sePersonnummer(n number) strength {
	own := n.written(0x64, "-") || n.written(0x84, "-")
	if !n.plain() && !own {
		return no
	}
	d := n.d[n.n-10 : n.n]
	if n.n == 12 {
		if c := value(n.d[:2]); c != 18 && c != 19 && c != 20 {
			return no
		}
	}
	day := value(d[4:6])
	if day > 60 {
		day -= 60
	}
	ok := date(value(d[2:4]), day) && luhn(d)
	if n.n == 12 {
		return graded(ok, own, strong, weak)
	}
	return graded(ok, own, fair, weak)
}

// fiHetuDigits is a henkilötunnus whose check character is a digit.
func fiHetuDigits(n number) strength {
	if !n.written(0x64, "-") || !date(value(n.d[2:4]), value(n.d[:2])) {
		return no
	}
	check := (value(n.d[:6])*1000 + value(n.d[6:9])) % 31
	return graded(check == int(n.d[9]), true, fair, no)
}

const hetuChecks = "0123456789ABCDEFHJKLMNPRSTUVWXY"

// hetu is a henkilötunnus that begins at i: DDMMYY, the century's sign, three
// digits and a check character, here a letter (Digital and Population Data
// Services Agency; new signs since 2023).
func (s *scan) hetu(i int) int {
	v := s.value
	if len(v) < i+11 || v[i+6] == '-' && class(v[i+10]) == digit || !s.whole(i+11) || !isHetu(v[i:i+11]) {
		return 0 // fiHetuDigits knows those that end with a digit
	}
	s.emit(FIHetu, strong, i, i+11)
	return i + 11
}

func isHetu(w string) bool {
	switch w[6] {
	case '-', '+', 'A', 'B', 'C', 'D', 'E', 'F', 'U', 'V', 'W', 'X', 'Y':
	default:
		return false
	}
	if !fits(w[:6], "dddddd") || !fits(w[7:10], "ddd") {
		return false
	}
	birth, serial := number9(w[:6]), number9(w[7:10])
	return date(birth/100%100, birth/10000) && hetuChecks[(birth*1000+serial)%31] == w[10]
}

// noFodselsnummer: DDMMYY, three digits, two checks mod 11; days of D-numbers
// have 40 added.
func noFodselsnummer(n number) strength {
	if !n.plain() && !n.parted(0x65) {
		return no
	}
	day := value(n.d[:2])
	if day > 40 {
		day -= 40
	}
	ok := date(value(n.d[2:4]), day) &&
		weighted(n.digits(), 3, 7, 6, 1, 8, 9, 4, 5, 2, 1)%11 == 0 &&
		weighted(n.digits(), 5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1)%11 == 0
	return graded(ok, true, fair, no)
}

// dkCPR: DDMMYY-XXXX. Its check digit is no longer kept, so the date is all.
func dkCPR(n number) strength {
	if !n.plain() && !n.written(0x64, "-") {
		return no
	}
	return graded(date(value(n.d[2:4]), value(n.d[:2])), false, no, weak)
}

func atSVNR(n number) strength {
	if !n.plain() && !n.parted(0x46) || n.d[0] == 0 {
		return no
	}
	month := value(n.d[6:8])
	if month > 12 && month <= 15 {
		month = 12 // where a day's numbers ran out
	}
	check := weighted(n.digits(), 3, 7, 9, 0, 5, 8, 4, 2, 1, 6) % 11
	return graded(date(month, value(n.d[4:6])) && check == int(n.d[3]), n.parted(0x46), fair, weak)
}

// beNationalNumber: YYMMDD, a serial and 97 minus the rest; 2 goes before the
// number of those born from 2000 on. BIS numbers have 20 or 40 added to the month.
func beNationalNumber(n number) strength {
	own := n.written(0x22232, "..-.") || n.written(0x632, "-.") || n.written(0x22232, ".....")
	if !n.plain() && !own {
		return no
	}
	month := value(n.d[2:4])
	switch {
	case month > 40:
		month -= 40
	case month > 20:
		month -= 20
	}
	body, check := value(n.d[:9]), value(n.d[9:11])
	ok := date(month, value(n.d[4:6])) && (97-body%97 == check || 97-(2000000000+body)%97 == check)
	return graded(ok, own, strong, fair)
}

// plPESEL: YYMMDD with the century in the month, a serial and a check digit.
func plPESEL(n number) strength {
	if !n.plain() || !date(value(n.d[2:4])%20, value(n.d[4:6])) {
		return no
	}
	return graded(weighted(n.digits(), 1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)%10 == 0, false, no, weak)
}

// deSteuerID: the first ten digits have one digit twice or three times and all
// others at most once; ISO 7064 mod 11,10.
func deSteuerID(n number) strength {
	own := n.parted(0x2333)
	if !n.plain() && !own || n.d[0] == 0 || !mod11and10(n.digits()) {
		return no
	}
	var count [10]int
	for _, v := range n.d[:10] {
		count[v]++
	}
	repeated := 0
	for _, c := range count {
		if c > 3 {
			return no
		}
		if c > 1 {
			repeated++
		}
	}
	return graded(repeated == 1, own, fair, weak)
}

func trTCKN(n number) strength {
	if !n.plain() || n.d[0] == 0 {
		return no
	}
	odd := int(n.d[0]) + int(n.d[2]) + int(n.d[4]) + int(n.d[6]) + int(n.d[8])
	even := int(n.d[1]) + int(n.d[3]) + int(n.d[5]) + int(n.d[7])
	tenth := ((odd*7-even)%10 + 10) % 10
	ok := tenth == int(n.d[9]) && (odd+even+tenth)%10 == int(n.d[10])
	return graded(ok, false, no, weak)
}

func hrOIB(n number) strength {
	if !n.plain() {
		return no
	}
	return graded(mod11and10(n.digits()), false, no, weak)
}

// chAHV: 756, nine digits and an EAN-13 check digit.
func chAHV(n number) strength {
	own := n.written(0x3442, "...")
	if !n.plain() && !own || value(n.d[:3]) != 756 {
		return no
	}
	return graded(weighted(n.digits(), 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1)%10 == 0, own, strong, fair)
}

// roCNP: sex and century, YYMMDD, county, serial, check digit.
func roCNP(n number) strength {
	county := value(n.d[7:9])
	if !n.plain() || n.d[0] == 0 || !date(value(n.d[3:5]), value(n.d[5:7])) || county == 0 || county > 52 {
		return no
	}
	check := weighted(n.digits(), 2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9) % 11
	if check == 10 {
		check = 1
	}
	return graded(check == int(n.d[12]), false, no, weak)
}

// frNIR: sex, year, month, place of birth, order and 97 minus the rest.
func frNIR(n number) strength {
	own := n.parted(0x1222332)
	if !n.plain() && !own && !n.written(15, "") && !n.parted(0xd2) {
		return no
	}
	return graded(nir(value(n.d[:13]), value(n.d[13:15]), int(n.d[0]), value(n.d[3:5]), value(n.d[5:7])), own, strong, fair)
}

// nir judges the parts of a NIR; the department of Corsica was made a number
// before.
func nir(body, key, sex, month, department int) bool {
	switch sex {
	case 1, 2, 3, 4, 7, 8:
	default:
		return false
	}
	if !(month >= 1 && month <= 12 || month >= 20 && month <= 42 || month >= 50) || department == 0 {
		return false
	}
	return 97-body%97 == key
}
