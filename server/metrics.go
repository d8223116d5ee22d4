package server

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
)

// metrics are counted per method and code, never per key, principal or anything else that a caller chooses.
type metrics struct {
	calls              []callMetrics // :: method number → its metrics; the last one is for streams
	auditFailures      prometheus.Counter
	refusedConnections prometheus.Counter
}

// callMetrics are looked up when the server starts, so that the hot path counts without a look-up.
type callMetrics struct {
	ended   [codes.Unauthenticated + 1]prometheus.Counter // :: code → counter
	items   [codes.Unauthenticated + 1]prometheus.Counter // :: code → counter of items of batches and streams
	latency prometheus.Observer
}

func newMetrics(r *prometheus.Registry, rows []*method) *metrics {
	ended := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "kmsd_calls_total", Help: "Calls that have ended, by method and gRPC code."}, []string{"service", "method", "code"})
	items := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "kmsd_batch_items_total", Help: "Items of batches and streams that have ended, by method and gRPC code."}, []string{"service", "method", "code"})
	latency := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "kmsd_call_duration_seconds", Help: "Time from the arrival of a call to its answer, audit record included.",
		Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10},
	}, []string{"service", "method"})
	m := &metrics{
		auditFailures:      prometheus.NewCounter(prometheus.CounterOpts{Name: "kmsd_audit_failures_total", Help: "Answers that were withheld because their audit event was not durable."}),
		refusedConnections: prometheus.NewCounter(prometheus.CounterOpts{Name: "kmsd_connections_refused_total", Help: "Connections that were closed at once because of a limit."}),
	}
	r.MustRegister(ended, items, latency, m.auditFailures, m.refusedConnections)
	one := func(source, event string, isItem bool) callMetrics {
		c := callMetrics{latency: latency.WithLabelValues(source, event)}
		for code := range c.ended {
			c.ended[code] = ended.WithLabelValues(source, event, statusName(codes.Code(code)))
			if isItem {
				c.items[code] = items.WithLabelValues(source, event, statusName(codes.Code(code)))
			}
		}
		return c
	}
	for _, row := range rows {
		m.calls = append(m.calls, one(row.source, row.event, strings.Contains(row.name, ".CryptoService/") || row.batched))
	}
	m.calls = append(m.calls, one("grpc", "stream", false))
	return m
}

// streams is the number under which streams are counted.
func (m *metrics) streams() int { return len(m.calls) - 1 }

// item counts an item of a batch or a stream.
func (c *callMetrics) item(code codes.Code) {
	if int(code) >= len(c.items) {
		code = codes.Unknown
	}
	c.items[code].Inc()
}

func (c *callMetrics) observe(code codes.Code, latency time.Duration) {
	if int(code) >= len(c.ended) {
		code = codes.Unknown
	}
	c.ended[code].Inc()
	c.latency.Observe(latency.Seconds())
}
