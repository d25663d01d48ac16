// Package spelling finds what a mistyped name was meant to be. It is a leaf, for
// whoever answers a person about a name.
package spelling

// tooLong is from where on texts are no names, and not compared.
const tooLong = 64

// Distance is Levenshtein's: how many bytes to add, drop or change to make b of
// a. Of texts that are too long to be names it is 64.
func Distance(a, b string) int {
	if len(a) > tooLong || len(b) > tooLong {
		return tooLong
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
