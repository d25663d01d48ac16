package sensitive

// The checksums. Digits come as values 0–9.

// luhn is ISO/IEC 7812-1, the check digit last.
func luhn(d []byte) bool {
	sum, double := 0, false
	for i := len(d) - 1; i >= 0; i-- {
		v := int(d[i])
		if double {
			if v *= 2; v > 9 {
				v -= 9
			}
		}
		sum += v
		double = !double
	}
	return sum%10 == 0
}

// weighted is the sum of digits times weights.
func weighted(d []byte, weights ...int) (sum int) {
	for i, w := range weights {
		sum += int(d[i]) * w
	}
	return sum
}

// mod is the number's remainder.
func mod(d []byte, m int) int {
	r := 0
	for _, v := range d {
		r = (r*10 + int(v)) % m
	}
	return r
}

// value is the number itself; at most 18 digits.
func value(d []byte) (n int) {
	for _, v := range d {
		n = n*10 + int(v)
	}
	return n
}

// mod11and10 is ISO 7064's hybrid system, the check digit last.
func mod11and10(d []byte) bool {
	p := 10
	for _, v := range d[:len(d)-1] {
		s := (p + int(v)) % 10
		if s == 0 {
			s = 10
		}
		p = s * 2 % 11
	}
	return (p+int(d[len(d)-1]))%10 == 1
}

// verhoeff is the checksum in the dihedral group of the pentagon (Verhoeff,
// Error Detecting Decimal Codes, 1969), the check digit last.
func verhoeff(d []byte) bool {
	c := byte(0)
	for i := range d {
		c = dihedral[c][permuted[i%8][d[len(d)-1-i]]]
	}
	return c == 0
}

var dihedral = [10][10]byte{
	{0, 1, 2, 3, 4, 5, 6, 7, 8, 9},
	{1, 2, 3, 4, 0, 6, 7, 8, 9, 5},
	{2, 3, 4, 0, 1, 7, 8, 9, 5, 6},
	{3, 4, 0, 1, 2, 8, 9, 5, 6, 7},
	{4, 0, 1, 2, 3, 9, 5, 6, 7, 8},
	{5, 9, 8, 7, 6, 0, 4, 3, 2, 1},
	{6, 5, 9, 8, 7, 1, 0, 4, 3, 2},
	{7, 6, 5, 9, 8, 2, 1, 0, 4, 3},
	{8, 7, 6, 5, 9, 3, 2, 1, 0, 4},
	{9, 8, 7, 6, 5, 4, 3, 2, 1, 0},
}

var permuted = [8][10]byte{
	{0, 1, 2, 3, 4, 5, 6, 7, 8, 9},
	{1, 5, 7, 6, 2, 8, 3, 0, 9, 4},
	{5, 8, 0, 3, 7, 9, 6, 1, 4, 2},
	{8, 9, 1, 6, 0, 4, 3, 5, 2, 7},
	{9, 4, 5, 3, 1, 2, 6, 8, 7, 0},
	{4, 2, 8, 6, 5, 7, 3, 9, 0, 1},
	{2, 7, 9, 3, 8, 0, 6, 4, 1, 5},
	{7, 0, 4, 6, 9, 1, 3, 2, 5, 8},
}

// date says whether month and day exist together in some year.
func date(month, day int) bool {
	return month >= 1 && month <= 12 && day >= 1 && day <= int([...]byte{31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}[month-1])
}

// same says whether all digits are equal: what people type to get past a form.
func same(d []byte) bool {
	for _, v := range d {
		if v != d[0] {
			return false
		}
	}
	return true
}
