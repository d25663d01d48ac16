package segmentation

import (
	"fmt"

	"github.com/gabion-io/gabion/workload"
)

// Evaluator is Evaluate for many flows of known workloads: it asks each workload
// only about the policies that select it. Its answers are Evaluate's.
type Evaluator struct {
	selecting map[workload.ID][]Policy
}

// NewEvaluator sorts out which policies select which workloads. Workloads that it
// was not given are governed by nothing.
func NewEvaluator(policies []Policy, workloads []*workload.Workload) *Evaluator {
	index := newSelectionIndex(workloads)
	of := make([][]int, len(workloads))
	for i := range policies {
		for _, n := range index.of(&policies[i].Subject) {
			of[n] = append(of[n], i)
		}
	}
	e := &Evaluator{selecting: map[workload.ID][]Policy{}}
	shared := map[string][]Policy{}
	for n, w := range workloads {
		key := fmt.Sprint(of[n])
		list, known := shared[key]
		if !known {
			for _, i := range of[n] {
				list = append(list, policies[i])
			}
			shared[key] = list
		}
		e.selecting[w.ID] = list
	}
	return e
}

// Evaluate says what becomes of a flow.
func (e *Evaluator) Evaluate(f Flow) (Verdict, RuleRef) {
	out, outRule := e.Judge(f, Egress)
	in, inRule := e.Judge(f, Ingress)
	return Join(out, outRule, in, inRule)
}

// Judge is Evaluate for one end of a flow.
func (e *Evaluator) Judge(f Flow, d Direction) (Verdict, RuleRef) {
	subject, _ := f.sides(d)
	if subject.Workload == nil {
		return Allowed, RuleRef{}
	}
	return Judge(e.selecting[subject.Workload.ID], f, d)
}
