package corpus

import (
	"math/big"
	"strconv"
	"strings"
)

// luhn by the doubled digits' sums, from the right.
func luhn(s string) bool {
	sum := 0
	for i := range len(s) {
		c := s[len(s)-1-i]
		if i%2 == 1 {
			c = "0246813579"[c-'0']
		}
		sum += int(c - '0')
	}
	return sum%10 == 0
}

func (g *gen) luhn(body string) string { return trying(body, digits, luhn) }

// rest is a long number's remainder.
func rest(s string, m int64) int64 {
	n, _ := new(big.Int).SetString(s, 10)
	return n.Mod(n, big.NewInt(m)).Int64()
}

func card(g *gen) string {
	switch g.IntN(6) {
	case 0, 1:
		return g.grouped(g.luhn("4"+g.digits(14)), "#### #### #### ####", "####-####-####-####")
	case 2:
		return g.grouped(g.luhn(sprintf("5%d", g.between(1, 5))+g.digits(13)), "#### #### #### ####")
	case 3:
		return g.grouped(g.luhn("3"+g.pick("4", "7")+g.digits(12)), "#### ###### #####")
	case 4:
		return g.luhn("6011" + g.digits(11))
	}
	return g.luhn(strconv.Itoa(g.between(2221, 2720)) + g.digits(11))
}

// grouped is a number plain or in one of the forms.
func (g *gen) grouped(number string, forms ...string) string {
	k := g.IntN(len(forms) + 1)
	if k == 0 {
		return number
	}
	return mask(forms[k-1], number)
}

// ibanForms: country, and its BBAN: n digits, a capitals, c either.
var ibanForms = map[string]string{"DE": "18n", "GB": "4a14n", "FR": "10n11c2n", "NL": "4a10n", "ES": "20n", "IT": "1a10n12c", "CH": "5n12c", "AT": "16n",
	"BE": "12n", "PL": "24n", "SE": "20n", "NO": "11n", "DK": "14n", "FI": "14n", "IE": "4a14n", "PT": "21n", "MT": "4a5n18c", "LU": "3n13c", "CZ": "20n", "GR": "7n16c"}

func iban(g *gen) string {
	countries := []string{"DE", "GB", "FR", "NL", "ES", "IT", "CH", "AT", "BE", "PL", "SE", "NO", "DK", "FI", "IE", "PT", "MT", "LU", "CZ", "GR"}
	country := countries[g.IntN(len(countries))]
	body, n := "", 0
	for _, c := range ibanForms[country] {
		switch c {
		case 'n':
			body, n = body+g.digits(n), 0
		case 'a':
			body, n = body+g.of(uppers, n), 0
		case 'c':
			body, n = body+g.of(digits+uppers, n), 0
		default:
			n = n*10 + int(c-'0')
		}
	}
	var b strings.Builder
	for _, c := range body + country + "00" {
		if c >= 'A' {
			b.WriteString(strconv.Itoa(int(c-'A') + 10))
		} else {
			b.WriteRune(c)
		}
	}
	s := country + sprintf("%02d", 98-rest(b.String(), 97)) + body
	if g.IntN(2) == 0 {
		return s
	}
	var parts []string
	for ; len(s) > 4; s = s[4:] {
		parts = append(parts, s[:4])
	}
	return strings.Join(append(parts, s), " ")
}

func ssn(g *gen) string {
	area := g.between(1, 899)
	if area == 666 {
		area = 667
	}
	s := sprintf("%03d%02d%04d", area, g.between(1, 99), g.between(1, 9999))
	return g.grouped(s, "###-##-####", "###-##-####")
}

func badSSN(g *gen) string {
	switch g.IntN(3) {
	case 0:
		return sprintf("%s-%02d-%04d", g.pick("000", "666"), g.between(1, 99), g.between(1, 9999))
	case 1:
		return sprintf("%03d-00-%04d", g.between(100, 600), g.between(1, 9999))
	}
	return sprintf("%03d-%02d-0000", g.between(100, 600), g.between(1, 99))
}

func nino(g *gen) string {
	const first = "ABCEGHJKLMNOPRSTWXYZ"
	const second = "ABCEGHJKLMNPRSTWXYZ"
	for {
		p := g.of(first, 1) + g.of(second, 1)
		if !strings.Contains("BG GB KN NK NT TN ZZ", p) {
			s := p + g.digits(6) + g.of("ABCD", 1)
			if g.IntN(2) == 0 {
				return s
			}
			return mask("## ## ## ## #", s)
		}
	}
}

func badNINO(g *gen) string {
	return g.of("DFIQUV", 1) + g.of("ABCE", 1) + g.digits(6) + g.of("ABCD", 1)
}

func nhs(g *gen) string {
	s := until(func() string { return g.of("123456789", 1) + g.digits(8) }, func(b string) string {
		return trying(b, digits, func(s string) bool { return dot(s, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1)%11 == 0 })
	})
	return g.grouped(s, "### ### ####")
}

// steuerID: ten digits, one of them twice, one missing, and the check by the
// product rule.
func steuerID(g *gen) string {
	for {
		p := g.Perm(10)
		p[g.between(1, 8)] = p[9] // one twice, one missing
		if p[0] == 0 {
			continue
		}
		body, x := "", 10
		for _, v := range p {
			body += strconv.Itoa(v)
			m := (v + x) % 10
			if m == 0 {
				m = 10
			}
			x = m * 2 % 11
		}
		return body + strconv.Itoa((11-x)%10)
	}
}

func nir(g *gen) string {
	y, m, _ := g.day()
	body := sprintf("%s%02d%02d%02d%03d%03d", g.pick("1", "2"), y%100, m, g.between(1, 19), g.between(1, 400), g.between(1, 999))
	s := body + sprintf("%02d", 97-rest(body, 97))
	return g.grouped(s, "# ## ## ## ### ### ##")
}

const dniLetters = "TRWAGMYFPDXBNJZSQVHLCKE"

func dni(g *gen) string {
	n := g.between(1000000, 99999999)
	return sprintf("%08d%c", n, dniLetters[n%23])
}

func nie(g *gen) string {
	k, n := g.IntN(3), g.IntN(10000000)
	return sprintf("%c%07d%c", "XYZ"[k], n, dniLetters[(k*10000000+n)%23])
}

// cfOddRow are the odd values of 0–9 and A–Z as the decree prints them.
var cfOddRow = []int{1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23}

func codiceFiscale(g *gen) string {
	y, _, d := g.day()
	if g.IntN(2) == 0 {
		d += 40
	}
	body := g.of("BCDFGLMNPRSTVZ", 6) + sprintf("%02d", y%100) + g.of("ABCDEHLMPRST", 1) + sprintf("%02d", d) + g.of("ABCDEFGHIL", 1) + g.digits(3)
	sum := 0
	for i, c := range body {
		k := strings.IndexRune(digits+uppers, c)
		switch {
		case i%2 == 0:
			sum += cfOddRow[k]
		case k > 9:
			sum += k - 10
		default:
			sum += k
		}
	}
	return body + string(rune('A'+sum%26))
}

func bsn(g *gen) string {
	return until(func() string { return g.of("123456789", 1) + g.digits(7) }, func(b string) string {
		return trying(b, digits, func(s string) bool { return (dot(s, 9, 8, 7, 6, 5, 4, 3, 2)-int(s[8]-'0'))%11 == 0 })
	})
}

func belgian(g *gen) string {
	y, m, d := g.day()
	body := sprintf("%02d%02d%02d%03d", y%100, m, d, g.between(1, 997))
	long := body
	if y >= 2000 {
		long = "2" + body
	}
	s := body + sprintf("%02d", 97-rest(long, 97))
	return g.grouped(s, "##.##.##-###.##")
}

func pesel(g *gen) string {
	y, m, d := g.day()
	if y >= 2000 {
		m += 20
	}
	body := sprintf("%02d%02d%02d", y%100, m, d) + g.digits(4)
	return trying(body, digits, func(s string) bool { return dot(s, 1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)%10 == 0 })
}

func personnummer(g *gen) string {
	y, m, d := g.day()
	s := g.luhn(sprintf("%02d%02d%02d", y%100, m, d) + g.digits(3))
	if g.IntN(2) == 0 {
		return sprintf("%d", y/100) + s[:6] + "-" + s[6:]
	}
	return s[:6] + "-" + s[6:]
}

func hetu(g *gen) string {
	y, m, d := g.day()
	sign := "-"
	if y >= 2000 {
		sign = "A"
	}
	day, serial := sprintf("%02d%02d%02d", d, m, y%100), sprintf("%03d", g.between(2, 899))
	return day + sign + serial + string("0123456789ABCDEFHJKLMNPRSTUVWXY"[rest(day+serial, 31)])
}

func fodselsnummer(g *gen) string {
	return until(func() string {
		y, m, d := g.day()
		return sprintf("%02d%02d%02d", d, m, y%100) + g.digits(3)
	}, func(b string) string {
		one := trying(b, digits, func(s string) bool { return dot(s, 3, 7, 6, 1, 8, 9, 4, 5, 2, 1)%11 == 0 })
		if one == "" {
			return ""
		}
		return trying(one, digits, func(s string) bool { return dot(s, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1)%11 == 0 })
	})
}

func ahv(g *gen) string {
	s := trying("756"+g.digits(9), digits, func(s string) bool { return dot(s, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1)%10 == 0 })
	return g.grouped(s, "###.####.####.##")
}

// brazilian appends two digits, each the weighted sum times ten by eleven.
func brazilian(body string, first, second []int) string {
	for _, w := range [][]int{first, second} {
		body += strconv.Itoa(dot(body, w...) * 10 % 11 % 10)
	}
	return body
}

func cpf(g *gen) string {
	s := brazilian(g.digits(9), []int{10, 9, 8, 7, 6, 5, 4, 3, 2}, []int{11, 10, 9, 8, 7, 6, 5, 4, 3, 2})
	return g.grouped(s, "###.###.###-##", "###.###.###-##")
}

func cnpj(g *gen) string {
	s := brazilian(g.of("123456789", 1)+g.digits(7)+"0001", []int{5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2}, []int{6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2})
	return g.grouped(s, "##.###.###/####-##")
}

// turn is the product in the group of a pentagon's symmetries: 0–4 turn it,
// 5–9 mirror it.
func turn(a, b int) int {
	switch {
	case a < 5 && b < 5:
		return (a + b) % 5
	case a < 5:
		return 5 + (a+b)%5
	case b < 5:
		return 5 + (a-b)%5
	}
	return ((a-b)%5 + 5) % 5
}

func verhoeff(s string) bool {
	c := 0
	for i := range len(s) {
		v := int(s[len(s)-1-i] - '0')
		for range i % 8 {
			v = int("1576283094"[v] - '0')
		}
		c = turn(c, v)
	}
	return c == 0
}

func aadhaar(g *gen) string {
	s := trying(g.of("23456789", 1)+g.digits(10), digits, verhoeff)
	return g.grouped(s, "#### #### ####")
}

func residentID(g *gen) string {
	y, m, d := g.day()
	body := g.pick("110105", "310101", "440305", "510104", "330106") + sprintf("%d%02d%02d", y, m, d) + g.digits(3)
	return trying(body, digits+"X", func(s string) bool {
		sum := 0
		for i := range 18 { // weights are powers of two by 11
			v := strings.IndexByte("0123456789X", s[i])
			sum += v * (1 << (17 - i) % 11)
		}
		return sum%11 == 1
	})
}

func tfn(g *gen) string {
	s := until(func() string { return g.of("123456789", 1) + g.digits(7) }, func(b string) string {
		return trying(b, digits, func(s string) bool { return dot(s, 1, 4, 3, 7, 5, 8, 6, 9, 10)%11 == 0 })
	})
	return g.grouped(s, "### ### ###")
}

func medicare(g *gen) string {
	body := g.of("23456", 1) + g.digits(7)
	return g.grouped(body+strconv.Itoa(dot(body, 1, 3, 7, 9, 1, 3, 7, 9)%10)+g.of("123456789", 1), "#### ##### #")
}

func sin(g *gen) string { return g.grouped(g.luhn(g.of("1234567", 1)+g.digits(7)), "### ### ###") }

func southAfrican(g *gen) string {
	y, m, d := g.day()
	return g.luhn(sprintf("%02d%02d%02d", y%100, m, d) + g.digits(4) + g.pick("0", "1") + "8")
}

func curp(g *gen) string {
	y, m, d := g.day()
	body := g.of(uppers, 1) + g.of("AEIOU", 1) + g.of(uppers, 2) + sprintf("%02d%02d%02d", y%100, m, d) + g.pick("H", "M") +
		g.pick("DF", "JC", "NL", "VZ") + g.of("BCDFGHJKLMNPQRSTVWXYZ", 3) + g.of(digits, 1)
	sum := 0
	for i, c := range []rune(body) {
		for v, a := range []rune("0123456789ABCDEFGHIJKLMNÑOPQRSTUVWXYZ") {
			if a == c {
				sum += v * (18 - i)
			}
		}
	}
	return body + strconv.Itoa((10-sum%10)%10)
}

func imei(g *gen) string { return g.luhn(g.pick("35", "86", "01") + g.digits(12)) }

func vin(g *gen) string {
	const value = "0123456789.ABCDEFGH..JKLMN.P.R..STUVWXYZ" // the place by ten is the value
	body := g.pick("1HG", "1FT", "2T1", "5YJ", "3VW", "1G1") + g.of("ABCDEFGHJKLMNPRSTUVWXYZ0123456789", 5) + "_" +
		g.of("ABCDEFGHJKLMNPRSTVWXY123456789", 1) + g.of(uppers[:8], 1) + g.digits(6)
	sum := 0
	for i, w := range []int{8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2} {
		if body[i] != '_' {
			sum += strings.IndexByte(value, body[i]) % 10 * w
		}
	}
	return strings.Replace(body, "_", string("0123456789X"[sum%11]), 1)
}

func routing(g *gen) string {
	return trying(sprintf("%02d", g.between(1, 12))+g.digits(6), digits, func(s string) bool { return dot(s, 3, 7, 1, 3, 7, 1, 3, 7, 1)%10 == 0 })
}

func cuit(g *gen) string {
	s := until(func() string { return g.pick("20", "27", "30") + g.digits(8) }, func(b string) string {
		return trying(b, digits, func(s string) bool { return dot(s, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1)%11 == 0 })
	})
	return g.grouped(s, "##-########-#")
}

func rut(g *gen) string {
	n := g.between(10000000, 25999999)
	sum, w := 0, 2
	for m := n; m > 0; m /= 10 {
		sum += m % 10 * w
		w = (w-1)%6 + 2
	}
	s := strconv.Itoa(n)
	return s[:2] + "." + s[2:5] + "." + s[5:] + "-" + string("0K987654321"[sum%11])
}

func nric(g *gen) string {
	k := g.IntN(4)
	body := g.digits(7)
	sum := dot(body, 2, 7, 6, 5, 4, 3, 2)
	if k%2 == 1 {
		sum += 4
	}
	return string("STFG"[k]) + body + string([]string{"JZIHGFEDCBA", "XWUTRQPNMLK"}[k/2][sum%11])
}

func turkish(g *gen) string {
	b := g.of("123456789", 1) + g.digits(8)
	return until(func() string { return b }, func(b string) string {
		tenth := ((dot(b, 7, -1, 7, -1, 7, -1, 7, -1, 7))%10 + 10) % 10
		b += strconv.Itoa(tenth)
		return b + strconv.Itoa(dot(b, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1)%10)
	})
}
