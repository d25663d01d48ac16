package ads

import "github.com/prometheus/client_golang/prometheus"

// metrics are the discovery server's own figures.
type metrics struct {
	responses *prometheus.CounterVec
	refusals  *prometheus.CounterVec
	streams   prometheus.Gauge
}

// newMetrics registers them; without a registerer they count unseen.
func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		responses: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gabion_xds_responses_total", Help: "Discovery responses sent, by type.",
		}, []string{"type"}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gabion_xds_refusals_total", Help: "Discovery responses refused by proxies, by type.",
		}, []string{"type"}),
		streams: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "gabion_xds_streams", Help: "Open discovery streams.",
		}),
	}
	if r != nil {
		r.MustRegister(m.responses, m.refusals, m.streams)
	}
	return m
}
