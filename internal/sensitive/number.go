package sensitive

const (
	maxDigits = 24
	maxGroups = 8
)

// number is a run of digits as it is written: the digits, and how they are
// parted.
type number struct {
	d      [maxDigits]byte // values 0–9
	n      int
	groups uint32 // lengths of the groups, a nibble each: 3-2-4 is 0x324; one group of any length is its length, at most 15
	seps   string // what parts them, in the value's own bytes: "--"
}

func (n *number) digits() []byte { return n.d[:n.n] }

// plain says that nothing parts the digits.
func (n *number) plain() bool { return n.seps == "" }

// written says whether the digits are parted in this way.
func (n *number) written(groups uint32, seps string) bool {
	return n.groups == groups && n.seps == seps
}

// parted says whether the groups have these lengths, with blanks or dashes.
func (n *number) parted(groups uint32) bool {
	if n.groups != groups || n.seps == "" {
		return false
	}
	for i := range len(n.seps) {
		if c := n.seps[i]; c != n.seps[0] || c != ' ' && c != '-' {
			return false
		}
	}
	return true
}

// digitRun is where the groups of a number lie in the value.
type digitRun struct {
	start, end [maxGroups]int
	seps       [maxGroups]byte // before the group
	n          int
}

// number reads the digits from i on, with what parts them, takes the longest
// run of groups that is anything, and returns where to go on.
func (s *scan) number(i, j int) int {
	if j-i > maxDigits {
		return j
	}
	if j-i == 4 && len(s.value)-i >= 10 && fits(s.value[i:i+10], "dddd-dd-dd") && s.name.kind != Phone {
		return i + 10 // a date: the commonest of all, and no kind's form
	}
	run := s.groups(i)
	if run.n == 1 && j-i < 7 {
		if next := s.short(i, j); next > 0 {
			return next
		}
		return j
	}
	for last := run.n - 1; last >= 0; last-- {
		end := run.end[last]
		if last+1 < run.n && run.seps[last+1] != ' ' && run.seps[last+1] != '/' {
			continue // inside of something written as one
		}
		if next := s.attempt(i, &run, last, end); next > 0 {
			return next
		}
	}
	for g := 1; g < run.n; g++ {
		if run.seps[g] == ' ' {
			return run.end[g-1]
		}
	}
	return run.end[run.n-1]
}

// attempt takes the groups up to last as one number.
func (s *scan) attempt(i int, run *digitRun, last, end int) int {
	digits, dots := 0, false
	for g := 0; g <= last; g++ {
		digits += run.end[g] - run.start[g]
		dots = dots || run.seps[g] == '.'
	}
	if digits > maxDigits || digits < 7 && !dots {
		return 0
	}
	var n number
	var seps [maxGroups]byte
	for g := 0; g <= last; g++ {
		for _, c := range []byte(s.value[run.start[g]:run.end[g]]) {
			n.d[n.n] = c - '0'
			n.n++
		}
		n.groups = n.groups<<4 | uint32(min(run.end[g]-run.start[g], 15))
		if g > 0 {
			seps[g-1] = run.seps[g]
		}
	}
	n.seps = parting(seps, last)
	if last+1 == run.n {
		if next := s.openEnded(n, i, end); next > 0 {
			return next
		}
		if !s.whole(end) {
			return 0
		}
	}
	if s.judge(n, i, end) {
		return end
	}
	return 0
}

// parting names the separators without allocating: the ways that matter are
// few, and every other way is "?".
func parting(seps [maxGroups]byte, n int) string {
	if n == 0 {
		return ""
	}
	for _, w := range partings {
		if len(w) == n && w == string(seps[:n]) {
			return w
		}
	}
	return "?"
}

var partings = []string{
	"-", "--", "---", "----", "-----", " ", "  ", "   ", "    ", "     ", "      ",
	".", "..", "...", "/", "//", "..-", "../-", ")-", ") ", ".-.", "/-", "--  ", ") - ", "..-.", ",",
}

// groups finds the groups of digits from i on that one sign parts.
func (s *scan) groups(i int) (r digitRun) {
	v := s.value
	var sep byte
	for r.n < maxGroups {
		j := i
		for j < len(v) && class(v[j]) == digit {
			j++
		}
		r.start[r.n], r.end[r.n], r.seps[r.n] = i, j, sep
		r.n++
		if j+1 >= len(v) {
			break
		}
		sep = v[j]
		i = j + 1
		switch sep {
		case '-', '.', '/':
		case ' ':
			if r.end[r.n-1]-r.start[r.n-1] > 8 {
				return r // long numbers side by side are two
			}
		case ')':
			if v[i] == ' ' || v[i] == '-' {
				i++
			}
		default:
			return r
		}
		if i >= len(v) || class(v[i]) != digit {
			return r
		}
	}
	// Too many groups are no number: all digits that follow belong to it.
	if r.n == maxGroups {
		for r.end[r.n-1] < len(v) && class(v[r.end[r.n-1]]) == digit {
			r.end[r.n-1]++
		}
	}
	return r
}

// judge asks every kind that has so many digits and keeps the best answer.
func (s *scan) judge(n number, start, end int) bool {
	if n.seps == "..." && n.n <= 12 {
		return s.ipv4(n, start, end)
	}
	if n.n >= len(numbers) || len(numbers[n.n]) == 0 && s.name.kind != Phone {
		return false
	}
	h := s.hintAt(start)
	best, confidence := None, Confidence(0)
	for _, k := range numbers[n.n] {
		with := k.match(n)
		if with == no {
			continue
		}
		if c := weigh(k.kind, with, h); c > confidence || c == confidence && h.kind == k.kind {
			best, confidence = k.kind, c
		}
	}
	if start == 0 || s.value[start-1] != '+' { // else phoneSign has said no
		if phone := s.nationalPhone(n, h); phone > confidence {
			best, confidence = Phone, phone
		}
	}
	if confidence == 0 {
		return false
	}
	s.keep(best, confidence, start, end)
	return true
}

// openEnded is what goes on after its digits: a Finnish or Chilean code, an
// alphanumeric company number, a bot's token, a pair of coordinates.
func (s *scan) openEnded(n number, start, end int) int {
	if next := s.hetu(start); next > 0 {
		return next
	}
	if next := s.clRUT(n, start, end); next > 0 {
		return next
	}
	if next := s.telegram(n, start, end); next > 0 {
		return next
	}
	return s.coordinates(start)
}

// short is what begins with few digits.
func (s *scan) short(i, j int) int {
	if next := s.colons(i, j); next > 0 {
		return next
	}
	switch j - i {
	case 2:
		return s.alphanumericCNPJ(i)
	case 6:
		return s.hetu(i)
	}
	return 0
}
