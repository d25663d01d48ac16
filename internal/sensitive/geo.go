package sensitive

// coordinates is a pair of latitude and longitude at i, with the decimals that
// tell a house from a town.
func (s *scan) coordinates(i int) int {
	v := s.value
	if i > 0 && v[i-1] == '-' {
		i--
	}
	lat, k, fine := decimal(v, i)
	if k == 0 || !fine || lat > 90 {
		return 0
	}
	comma := false
	for k < len(v) && (v[k] == ' ' || v[k] == ',' || v[k] == ';') {
		comma = comma || v[k] != ' '
		k++
	}
	long, end, fine := decimal(v, k)
	if !comma || end == 0 || !fine || long > 180 || !s.whole(end) {
		return 0
	}
	if !s.emit(Location, fair, i, end) {
		return 0
	}
	return end
}

// decimal reads a number with decimals at i: its whole part without sign, where
// it ends, and whether it has four decimals or more.
func decimal(v string, i int) (whole, end int, fine bool) {
	k := i
	if k < len(v) && (v[k] == '-' || v[k] == '+') {
		k++
	}
	from := k
	for k < len(v) && class(v[k]) == digit {
		whole = whole*10 + int(v[k]-'0')
		if k++; k-from > 3 {
			return 0, 0, false
		}
	}
	if k == from || k >= len(v) || v[k] != '.' {
		return 0, 0, false
	}
	point := k
	for k++; k < len(v) && class(v[k]) == digit; k++ {
	}
	return whole, k, k-point > 4 && k-point < 18
}
