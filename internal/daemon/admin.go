package daemon

import (
	"context"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// admin is the listener for those who run kmsd: metrics and health, in clear, on loopback only.
type admin struct {
	server   *http.Server
	listener net.Listener
	served   chan struct{}
}

func newAdmin(r *prometheus.Registry, d *Daemon) *admin {
	r.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "kmsd_store_generation", Help: "Number of the last change of the store."}, func() float64 { return float64(d.store.Generation()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "kmsd_audit_seq", Help: "Number of the last durable audit record."}, func() float64 { return float64(d.audit.Seq()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "kmsd_audit_available", Help: "1 while audit records can be made durable, and calls so be answered."}, func() float64 {
			if d.audit.Err() != nil {
				return 0
			}
			return 1
		}),
	)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(r, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if d.audit.Err() != nil {
			http.Error(w, "the audit log is not available", http.StatusServiceUnavailable)
			return
		}
		w.Write([]byte("ok\n"))
	})
	return &admin{server: &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
	}}
}

func (a *admin) listen(address string) error {
	if address == AdminOff {
		return nil
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	a.listener, a.served = l, make(chan struct{})
	go func() {
		defer close(a.served)
		a.server.Serve(l) // ends with close
	}()
	return nil
}

func (a *admin) address() string {
	if a.listener == nil {
		return AdminOff
	}
	return a.listener.Addr().String()
}

func (a *admin) close() error {
	if a.listener == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := a.server.Shutdown(ctx)
	<-a.served
	return err
}
