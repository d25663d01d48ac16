package sensitive

// code looks at a word of digits and letters from i to j and returns where to go
// on. What a word of that length can be is tried one after the other.
func (s *scan) code(i, j int, mask byte) int {
	v := s.value
	if next := s.iban(i, j); next > 0 {
		return next
	}
	if next := s.colons(i, j); next > 0 {
		return next
	}
	w := v[i:j]
	if len(w) >= 26 {
		s.crypto(i, j)
		if len(w) == 32 && mask&upper == 0 {
			s.mailchimp(i, j)
		}
		return j
	}
	if w[0] == '1' || len(w) == 4 {
		if next := s.mbi(i, j); next > 0 {
			return next
		}
	}
	if len(w) == 7 && j+3 <= len(v) && v[j] == '(' && v[j+2] == ')' {
		if next := s.hkID(i, j+3); next > 0 {
			return next
		}
	}
	if len(w) < 8 || !s.whole(j) {
		return j
	}
	kind, with := None, no
	if mask&lower == 0 || mask&upper == 0 {
		kind, with = codeKind(w)
	}
	if with != no {
		s.emit(kind, with, i, j)
	}
	return j
}

// codeKind is what a whole word of digits and letters is.
func codeKind(w string) (Kind, strength) {
	form := shape(w)
	switch len(w) {
	case 8:
		switch {
		case bicWord(w):
			return BIC, weak
		case form == "ddddddda" && iePPS(w):
			return IEPPS, weak
		case form == "addddddd" || form == "adddddda":
			return hkPlain(w)
		}
	case 9:
		return nine(w, form)
	case 10:
		switch {
		case form == "aaaaadddda" && inPAN(w):
			return INPAN, fair
		case form == "addddddddd" && deKVNR(w):
			return DEKVNR, fair
		}
	case 11:
		if mbi(w) {
			return USMBI, fair
		}
		if bicWord(w) {
			return BIC, weak
		}
		if form == "ddddddadddd" || form == "ddddddaddda" {
			if isHetu(w) {
				return FIHetu, strong
			}
		}
	case 15:
		if frCorsica(w) {
			return FRNIR, fair
		}
	case 16:
		if itCodiceFiscale(w) {
			return ITCodiceFiscale, strong
		}
	case 17:
		return vehicle(w)
	case 18:
		if mxCURP(w) {
			return MXCURP, strong
		}
		if cnLetter(w) {
			return CNResidentID, strong
		}
	}
	return None, no
}

// nine is the many codes of nine characters.
func nine(w, form string) (Kind, strength) {
	switch form {
	case "dddddddda":
		if dniLetter(number9(w[:8]), w[8]) {
			return ESDNI, fair
		}
	case "dddddddaa":
		if iePPS(w) {
			return IEPPS, fair
		}
	case "addddddda":
		switch first := w[0] &^ 0x20; {
		case first >= 'X' && first <= 'Z':
			if dniLetter(int(first-'X')*10000000+number9(w[1:8]), w[8]) {
				return ESNIE, fair
			}
		case sgNRIC(w):
			return SGNRIC, fair
		}
	case "aadddddda":
		if ukNINO(w) {
			return UKNINO, fair
		}
	case "aaddddddd":
		if usDEA(w) {
			return USDEA, weak
		}
	}
	return None, no
}

// shape writes a for letters and d for digits: one of the forms that somebody
// asks for, so that no text is made.
func shape(w string) string {
	if len(w) > 11 {
		return ""
	}
	for _, f := range shapes {
		if len(f) == len(w) && fits(w, f) {
			return f
		}
	}
	return ""
}

var shapes = []string{
	"ddddddda", "addddddd", "adddddda",
	"dddddddda", "dddddddaa", "addddddda", "aadddddda", "aaddddddd",
	"aaaaadddda", "addddddddd",
	"ddddddadddd", "ddddddaddda",
}

// fits says whether w has letters and digits where the form has a and d; other
// signs are themselves.
func fits(w, form string) bool {
	for i := range len(w) {
		k := class(w[i])
		switch form[i] {
		case 'a':
			if k&letter == 0 {
				return false
			}
		case 'd':
			if k != digit {
				return false
			}
		default:
			if w[i] != form[i] {
				return false
			}
		}
	}
	return true
}

func number9(w string) (n int) {
	for i := range len(w) {
		n = n*10 + int(w[i]-'0')
	}
	return n
}

// dniLetter: the letter is the number's remainder by 23.
func dniLetter(n int, c byte) bool { return "TRWAGMYFPDXBNJZSQVHLCKE"[n%23] == c&^0x20 }

// iePPS: seven digits, a check letter mod 23, and since 2013 a second letter.
func iePPS(w string) bool {
	sum := 0
	for i := range 7 {
		sum += int(w[i]-'0') * (8 - i)
	}
	if len(w) == 9 {
		c := w[8] &^ 0x20
		if c == 'W' {
			c = 'A' - 1
		} else if c > 'I' {
			return false
		}
		sum += int(c-'A'+1) * 9
	}
	return "WABCDEFGHIJKLMNOPQRSTUV"[sum%23] == w[7]&^0x20
}

// sgNRIC: a letter for century and kind, seven digits, a check letter.
func sgNRIC(w string) bool {
	sum := 0
	for i, weight := range [...]int{2, 7, 6, 5, 4, 3, 2} {
		sum += int(w[1+i]-'0') * weight
	}
	c := w[8] &^ 0x20
	switch w[0] &^ 0x20 {
	case 'S':
		return "JZIHGFEDCBA"[sum%11] == c
	case 'T':
		return "JZIHGFEDCBA"[(sum+4)%11] == c
	case 'F':
		return "XWUTRQPNMLK"[sum%11] == c
	case 'G':
		return "XWUTRQPNMLK"[(sum+4)%11] == c
	case 'M':
		return "XWUTRQPNJLK"[10-(sum+3)%11] == c
	}
	return false
}

// ukNINO: the prefixes HMRC does not give out; no checksum.
func ukNINO(w string) bool {
	a, b := w[0]&^0x20, w[1]&^0x20
	for _, c := range []byte("DFIQUV") {
		if a == c || b == c {
			return false
		}
	}
	switch string([]byte{a, b}) {
	case "BG", "GB", "NK", "KN", "TN", "NT", "ZZ":
		return false
	}
	last := w[len(w)-1] &^ 0x20
	return b != 'O' && last >= 'A' && last <= 'D'
}

// usDEA: registrant's letters and six digits with a check digit.
func usDEA(w string) bool {
	d := func(i int) int { return int(w[i] - '0') }
	return (d(2)+d(4)+d(6)+2*(d(3)+d(5)+d(7)))%10 == d(8)
}

// inPAN: the fourth letter is the kind of holder; its check letter is not public.
func inPAN(w string) bool {
	switch w[3] &^ 0x20 {
	case 'A', 'B', 'C', 'F', 'G', 'H', 'J', 'L', 'P', 'T', 'K', 'E':
		return w[5:9] != "0000"
	}
	return false
}

// deKVNR: the constant part of the German health insurance number, Luhn-like
// over the letter as two digits.
func deKVNR(w string) bool {
	c := int(w[0]&^0x20-'A') + 1
	sum := 0
	for i := range 10 {
		v := 0
		switch i {
		case 0:
			v = c / 10
		case 1:
			v = c % 10
		default:
			v = int(w[i-1] - '0')
		}
		if i%2 == 1 {
			v *= 2
		}
		sum += v/10 + v%10
	}
	return sum%10 == int(w[9]-'0')
}

// mbi is a Medicare Beneficiary Identifier without its dashes (CMS): the letters
// leave out S, L, O, I, B and Z; no checksum.
func mbi(w string) bool {
	if len(w) != 11 {
		return false
	}
	for i := range 11 {
		c := w[i]
		isDigit := class(c) == digit && (i > 0 || c != '0')
		isLetter := class(c) == upper && c != 'S' && c != 'L' && c != 'O' && c != 'I' && c != 'B' && c != 'Z'
		if form := mbiForm[i]; !isDigit && form != 'a' && (form == 'd' || !isLetter) || form == 'a' && !isLetter {
			return false
		}
	}
	return true
}

// mbiForm has d for digits, a for letters and e for either.
const mbiForm = "daedaedaadd"

// frCorsica: a NIR whose department is 2A or 2B.
func frCorsica(w string) bool {
	if w[5] != '2' || w[6]&^0x20 != 'A' && w[6]&^0x20 != 'B' {
		return false
	}
	n := 0
	for i := range 15 {
		if i != 6 && class(w[i]) != digit {
			return false
		}
	}
	for i := range 13 {
		switch i {
		case 5:
			n = n*10 + 1
		case 6:
			n = n*10 + 9 - int(w[6]&^0x20-'A') // 2A counts as 19, 2B as 18
		default:
			n = n*10 + int(w[i]-'0')
		}
	}
	return nir(n, number9(w[13:15]), int(w[0]-'0'), number9(w[3:5]), 20)
}

// itCodiceFiscale: fifteen characters and a check letter; digits may have been
// replaced by letters where two people would have the same code.
func itCodiceFiscale(w string) bool {
	const form = "aaaaaaddaddaddda"
	sum := 0
	for i := range 16 {
		c := w[i]
		if class(c) == lower {
			c -= 0x20
		}
		isDigit := class(c) == digit
		if form[i] == 'a' && isDigit || form[i] == 'd' && !isDigit && !omocodia(c) {
			return false
		}
		k := int(c - 'A')
		if isDigit {
			k = int(c - '0')
		}
		switch {
		case i == 15:
			return byte(sum%26)+'A' == c
		case i%2 == 0:
			sum += int(cfOdd[k])
		default:
			sum += k
		}
		if i == 8 && !omoMonth(c) {
			return false
		}
	}
	return false
}

func omocodia(c byte) bool { return c >= 'L' && c <= 'V' && c != 'O' }

func omoMonth(c byte) bool {
	switch c {
	case 'A', 'B', 'C', 'D', 'E', 'H', 'L', 'M', 'P', 'R', 'S', 'T':
		return true
	}
	return false
}

// cfOdd are the values of characters at odd places (decree of 23 December 1976);
// digits have those of the first ten letters.
var cfOdd = [26]byte{1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23}

// mxCURP: letters of the name, date, sex, state, consonants and a check digit.
func mxCURP(w string) bool {
	const form = "aaaaddddddaaaaaaxd"
	sum := 0
	for i := range 18 {
		c := w[i]
		if class(c) == lower {
			c -= 0x20
		}
		isDigit := class(c) == digit
		if form[i] == 'a' && isDigit || form[i] == 'd' && !isDigit {
			return false
		}
		v := int(c - '0')
		if !isDigit {
			v = int(c-'A') + 10
			if c > 'N' {
				v++ // Ñ stands between N and O
			}
		}
		if i < 17 {
			sum += v * (18 - i)
		}
	}
	if !date(number9(w[6:8]), number9(w[8:10])) {
		return false
	}
	switch w[10] &^ 0x20 {
	case 'H', 'M', 'X':
		return (10-sum%10)%10 == int(w[17]-'0')
	}
	return false
}

// cnLetter is a resident id that ends with X.
func cnLetter(w string) bool {
	var d [17]byte
	if w[17]&^0x20 != 'X' {
		return false
	}
	for i := range 17 {
		if class(w[i]) != digit {
			return false
		}
		d[i] = w[i] - '0'
	}
	return cnResident(d[:], 10)
}

// vehicle is a VIN (ISO 3779, 49 CFR 565): the check digit at the ninth place is
// law in North America and China and often kept elsewhere.
func vehicle(w string) (Kind, strength) {
	sum, digits, letters := 0, 0, 0
	weights := [17]int{8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2}
	for i := range 17 {
		c := w[i]
		switch {
		case class(c) == digit:
			digits++
			sum += int(c-'0') * weights[i]
		case class(c) == upper && c != 'I' && c != 'O' && c != 'Q':
			letters++
			sum += int(vinValue[c-'A']) * weights[i]
		default:
			return None, no
		}
	}
	if letters < 2 || digits < 5 || class(w[15])|class(w[16])|class(w[14])|class(w[13]) != digit {
		return None, no
	}
	if "0123456789X"[sum%11] == w[8] {
		return VehicleID, fair
	}
	return VehicleID, weak
}

var vinValue = [26]byte{1, 2, 3, 4, 5, 6, 7, 8, 0, 1, 2, 3, 4, 5, 0, 7, 0, 9, 2, 3, 4, 5, 6, 7, 8, 9}

// hkPlain is a Hong Kong identity card without its brackets; no other kind of
// that form has a check.
func hkPlain(w string) (Kind, strength) {
	if hkCheck(w[:1], w[1:7], w[7]) {
		return HKID, weak
	}
	return None, no
}

// hkID is A123456(7) from i to end.
func (s *scan) hkID(i, end int) int {
	w := s.value[i:end]
	if !hkCheck(w[:1], w[1:7], w[8]) {
		return 0
	}
	s.emit(HKID, fair, i, end)
	return end
}

func hkCheck(letters, digits string, check byte) bool {
	if class(letters[0]) != upper {
		return false
	}
	sum := 36*9 + (int(letters[0]-'A')+10)*8
	for i := range 6 {
		if class(digits[i]) != digit {
			return false
		}
		sum += int(digits[i]-'0') * (7 - i)
	}
	r := (11 - sum%11) % 11
	return r < 10 && check == byte('0'+r) || r == 10 && check == 'A'
}

// mbi is 1EG4-TE5-MK73 at i.
func (s *scan) mbi(i, j int) int {
	v := s.value
	if j-i != 4 || len(v) < i+13 || v[i+4] != '-' || v[i+8] != '-' || !s.whole(i+13) {
		return 0
	}
	var w [11]byte
	copy(w[:], v[i:i+4])
	copy(w[4:], v[i+5:i+8])
	copy(w[7:], v[i+9:i+13])
	if !mbi(string(w[:])) {
		return 0
	}
	s.emit(USMBI, strong, i, i+13)
	return i + 13
}

// capitals looks at a word of capital letters.
func (s *scan) capitals(i, j int) int {
	v := s.value
	switch j - i {
	case 2: // a NINO in groups: AB 12 34 56 C
		if len(v) >= i+13 && v[i+2] == ' ' && fits(v[i+3:i+5], "dd") && v[i+5] == ' ' && v[i+8] == ' ' && v[i+11] == ' ' &&
			fits(v[i+6:i+8], "dd") && fits(v[i+9:i+11], "dd") && class(v[i+12]) == upper && s.whole(i+13) && ukNINO(v[i:i+13]) {
			s.emit(UKNINO, strong, i, i+13)
			return i + 13
		}
	case 8, 11:
		if bicWord(v[i:j]) {
			s.emit(BIC, weak, i, j)
		}
	}
	if next := s.colons(i, j); next > 0 {
		return next
	}
	return j
}

// bicWord: four letters of the bank, the country, two characters of the place
// and perhaps three of the branch (ISO 9362).
func bicWord(w string) bool {
	for i := range 6 {
		if class(w[i]) != upper {
			return false
		}
	}
	return country(w[4:6])
}
