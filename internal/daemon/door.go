package daemon

import (
	"context"
	"net"
	"sync"
	"time"
)

// door is a gateway and where it is reached. A nil *door is one that is not configured.
type door struct {
	gateway interface {
		Serve(net.Listener) error
		Shutdown(context.Context)
	}
	listener net.Listener
}

// serve answers who comes to the door, until shutdown.
func (o *door) serve(d *Daemon) {
	if o == nil {
		return
	}
	d.done.Go(func() {
		if err := o.gateway.Serve(o.listener); err != nil {
			d.fatal(err)
		}
	})
}

// logDoors says which doors there are.
func (d *Daemon) logDoors() {
	if d.aws != nil {
		d.log.Info("serving clients of AWS", "listen", d.AWSAddress(), "tls", !d.cfg.AWS.Plaintext)
	}
	if d.k8s != nil {
		d.log.Info("serving Kubernetes", "socket", d.k8s.listener.Addr().String(), "key", d.cfg.K8s.KeyID)
	}
}

// shutdown lets nobody in, and finishes the calls under way until ctx ends.
func (o *door) shutdown(ctx context.Context) {
	if o != nil {
		o.gateway.Shutdown(ctx)
	}
}

// shutDoors lets nobody in by any door, and finishes the calls under way until half of the time of ctx is over. The rest is for those over gRPC, which
// nobody at a door can use up.
func (d *Daemon) shutDoors(ctx context.Context) {
	if end, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(end)/2)
		defer cancel()
	}
	var shut sync.WaitGroup
	for _, o := range []*door{d.aws, d.k8s} {
		shut.Go(func() { o.shutdown(ctx) })
	}
	shut.Wait()
}

// close closes the listener of a door that was never served.
func (o *door) close() {
	if o != nil {
		o.listener.Close() // closed already unless the start failed
	}
}
