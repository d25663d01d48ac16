package workload

import (
	"cmp"
	"strconv"
)

func comparePorts(a, b Port) int {
	return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Number, b.Number))
}

func itoa(n int) string { return strconv.Itoa(n) }
