package datapath

// Limits bound what workloads can use of what all share. Zero is the default.
type Limits struct {
	Flows       int // established ones, in all
	HalfOpen    int // in all; the oldest make room
	PerWorkload int // established flows of one workload
	OpenRate    int // new flows of one workload that are remembered, a second
}

func (l Limits) withDefaults() Limits {
	set := func(v *int, to int) {
		if *v == 0 {
			*v = to
		}
	}
	set(&l.Flows, 131072)
	set(&l.HalfOpen, 65536)
	set(&l.PerWorkload, l.Flows/4)
	set(&l.OpenRate, l.HalfOpen/8)
	return l
}
