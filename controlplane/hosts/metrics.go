package hosts

import "github.com/prometheus/client_golang/prometheus"

type metrics struct {
	streams             prometheus.Gauge
	responses, refusals prometheus.Counter
}

func newMetrics(to prometheus.Registerer) *metrics {
	m := &metrics{
		streams:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "gabion_host_streams", Help: "Open streams of hosts' agents."}),
		responses: prometheus.NewCounter(prometheus.CounterOpts{Name: "gabion_host_responses_total", Help: "Changes of policy sent to hosts."}),
		refusals:  prometheus.NewCounter(prometheus.CounterOpts{Name: "gabion_host_refusals_total", Help: "Changes of policy that a host refused."}),
	}
	if to != nil {
		to.MustRegister(m.streams, m.responses, m.refusals)
	}
	return m
}
