package daemon

import (
	"context"
	"net"
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

// close closes the listener of a door that was never served.
func (o *door) close() {
	if o != nil {
		o.listener.Close() // closed already unless the start failed
	}
}
