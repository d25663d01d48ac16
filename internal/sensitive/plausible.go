package sensitive

import "strings"

// byName adds the kind of the field's name, if its value does not speak for
// itself and could be one.
func (s *scan) byName() {
	kind := s.name.kind
	if kind == None || s.value == "" {
		return
	}
	for _, f := range s.found[s.base:] {
		if f.Confidence >= Likely && kind.agrees(f.Kind) {
			return
		}
	}
	v := strings.TrimSpace(s.value)
	if masked(v) || !plausible(kind, v) {
		return
	}
	s.keep(kind, Likely, 0, len(s.value))
}

// masked says whether a value is none: empty, a literal of JSON, or stars, dots
// and x where somebody has taken it out.
func masked(v string) bool {
	switch v {
	case "", "null", "nil", "none", "None", "true", "false", "True", "False", "undefined", "N/A", "n/a", "redacted", "REDACTED", "[REDACTED]", "[FILTERED]", "<redacted>":
		return true
	}
	if len(v) > 64 {
		return false
	}
	out := 0
	for i := range len(v) {
		switch v[i] {
		case '*', 'x', 'X', '#', '.', '-', '_', ' ':
			out++
		}
	}
	return out == len(v) || strings.Contains(v, "****") || strings.HasPrefix(v, "{{") || strings.HasPrefix(v, "${") || strings.HasPrefix(v, "•")
}

// counted is what a value is made of.
type counted struct {
	digits, letters, uppers, blanks, others int
	spread                                  bool // bytes beyond ASCII: letters of other scripts
}

func count(v string) (c counted) {
	for i := range len(v) {
		switch k := class(v[i]); {
		case k == digit:
			c.digits++
		case k == upper:
			c.uppers++
			c.letters++
		case k == lower:
			c.letters++
		case v[i] >= 0x80:
			c.letters++
			c.spread = true
		case v[i] == ' ':
			c.blanks++
		default:
			c.others++
		}
	}
	return c
}

// plausible says whether a value may be what the name of its field says. Kinds
// that a value shows by itself, by form or checksum, are not asked for here.
func plausible(kind Kind, v string) bool {
	if len(v) > 4096 {
		return kind == PrivateKey
	}
	c := count(v)
	switch kind.Class() {
	case Secret:
		return plausibleSecret(kind, v, c)
	case Financial, Health:
		return plausibleRecord(kind, v, c)
	}
	switch kind {
	case PersonName:
		return c.letters >= 2 && c.digits == 0 && len(v) <= 100 && c.others <= 4 && c.blanks <= 8 && !strings.ContainsAny(v, "@/<>{}=_:")
	case Address:
		return c.letters >= 3 && len(v) <= 300 && (c.blanks > 0 || c.uppers > 0 || c.spread) && (c.digits > 0 || c.blanks > 0 || c.letters >= 5) &&
			!strings.ContainsAny(v, "@<>{}=_") && !strings.Contains(v, "://")
	case PostalCode:
		return len(v) >= 3 && len(v) <= 10 && c.digits >= 2 && c.others <= 1 && c.letters <= 5
	case DateOfBirth:
		return birthDate(v)
	case Gender:
		return c.digits == 0 && len(v) <= 24 && c.letters > 0 && c.others <= 1
	case SpecialCategory:
		return c.digits == 0 && len(v) <= 80 && c.letters >= 3
	case Location:
		return coordinate(v)
	case LicencePlate:
		return len(v) >= 4 && len(v) <= 12 && c.digits >= 1 && c.letters >= 1 && c.letters == c.uppers && c.others <= 2
	case Passport:
		return len(v) >= 6 && len(v) <= 12 && c.digits >= 3 && c.letters == c.uppers && c.others == 0 && c.blanks == 0
	case DriverLicence:
		return len(v) >= 5 && len(v) <= 20 && c.digits >= 4 && c.letters == c.uppers && c.others <= 3
	case NationalID:
		return len(v) >= 6 && len(v) <= 22 && c.digits >= 5 && c.letters <= 4 && c.letters == c.uppers && c.others <= 4
	}
	return false
}

func plausibleRecord(kind Kind, v string, c counted) bool {
	text := c.letters >= 3 && len(v) <= 400 && !strings.ContainsAny(v, "@<>{}=") && !strings.Contains(v, "://")
	switch kind {
	case CardVerification:
		return (len(v) == 3 || len(v) == 4) && c.digits == len(v)
	case CardExpiry:
		return monthYear(v, c)
	case BankAccount:
		return c.digits >= 6 && c.digits <= 20 && c.letters == 0 && c.others <= 4 && !strings.Contains(v, ":") && !strings.HasPrefix(v, "-")
	case Income:
		return c.digits >= 3 && len(v) <= 20 && c.letters <= 4
	case HealthID:
		return len(v) >= 5 && len(v) <= 20 && c.digits >= 4 && c.letters == c.uppers && c.others <= 3
	case Diagnosis:
		return text && (c.blanks > 0 || c.uppers > 0 || c.letters >= 5) || icd(v)
	case Medication:
		return text
	case BloodType:
		return bloodType(v)
	}
	return false
}

func plausibleSecret(kind Kind, v string, c counted) bool {
	solid := len(v) >= 12 && c.blanks == 0 && c.digits+c.letters > 0
	switch kind {
	case Password:
		return len(v) >= 4 && len(v) <= 256 && !strings.Contains(v, "://")
	case OneTimeCode:
		return c.blanks <= 1 && c.digits >= 4 && len(v) <= 10 || solid && len(v) >= 16 && len(v) <= 64 && various(v)
	case PasswordHash:
		return solid && len(v) >= 16
	case PrivateKey:
		return len(v) >= 32 && c.letters > 8 && !strings.Contains(v, "-----BEGIN ") // else pem has said what it is
	case ConnectionString:
		return strings.Contains(v, "assword=") || strings.Contains(v, "Pwd=") || strings.Contains(v, "Key=")
	case SessionID, BearerToken, APIKey, AWSKey, AzureKey:
		return solid && various(v) && c.digits < len(v) && (c.digits > 0 || len(v) >= 16) && !strings.Contains(v, "://")
	}
	return false
}

// birthDate: a day of a month in a year of somebody's life, in the orders people
// write it, or at the beginning of a date and time.
func birthDate(v string) bool {
	var part [3]int
	var width [3]int
	n, i := 0, 0
	for ; i < len(v) && i < 11; i++ {
		switch c := v[i]; {
		case class(c) == digit:
			part[n] = part[n]*10 + int(c-'0')
			width[n]++
		case (c == '-' || c == '.' || c == '/' || c == ' ') && n < 2 && width[n] > 0:
			n++
		case (c == 'T' || c == ' ') && n == 2:
			return birthParts(part, width)
		default:
			return false
		}
	}
	if n == 0 && width[0] == 8 {
		p := part[0]
		return birthParts([3]int{p / 10000, p / 100 % 100, p % 100}, [3]int{4, 2, 2}) ||
			birthParts([3]int{p / 1000000, p / 10000 % 100, p % 10000}, [3]int{2, 2, 4})
	}
	return n == 2 && i == len(v) && birthParts(part, width)
}

func birthParts(p, width [3]int) bool {
	year, a, b := p[0], p[1], p[2]
	if width[0] != 4 {
		year, a, b = p[2], p[0], p[1]
		if width[2] == 2 {
			year += 1900
		} else if width[2] != 4 {
			return false
		}
	}
	return year >= 1880 && year <= 2100 && (date(a, b) || date(b, a))
}

// coordinate is one number with three decimals or more, within a half circle.
func coordinate(v string) bool {
	whole, end, _ := decimal(v, 0)
	point := strings.IndexByte(v, '.')
	return end == len(v) && end > 0 && whole <= 180 && end-point > 3
}

// monthYear: 07/28, 07/2028, 2028-07, 0728.
func monthYear(v string, c counted) bool {
	if len(v) < 4 || len(v) > 7 || c.digits < 4 || c.letters > 0 || c.others+c.blanks > 1 {
		return false
	}
	month := int(v[0]-'0')*10 + int(v[1]-'0')
	if len(v) == 7 && (v[4] == '-' || v[4] == '/') {
		month = int(v[5]-'0')*10 + int(v[6]-'0')
	}
	return month >= 1 && month <= 12
}

// icd is a code of ICD-10: a letter, a digit, a digit or letter, and up to four
// more behind a dot.
func icd(v string) bool {
	if len(v) < 3 || len(v) > 8 || class(v[0]) != upper || class(v[1]) != digit || class(v[2])&(digit|upper) == 0 {
		return false
	}
	return len(v) == 3 || v[3] == '.' && len(v) > 4
}

func bloodType(v string) bool {
	v = strings.TrimSpace(v)
	rest, ok := strings.CutPrefix(v, "AB")
	if !ok {
		if v == "" || strings.IndexByte("ABO0", v[0]) < 0 {
			return false
		}
		rest = v[1:]
	}
	switch strings.ToLower(strings.TrimSpace(rest)) {
	case "", "+", "-", "−", "pos", "neg", "positive", "negative", "rh+", "rh-", "rhd+", "rhd-", "positiv", "negativ":
		return true
	}
	return false
}
