package envelope

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"sync"
)

// headRoom is the length of a final frame's header, the longer one: end mark, number, IV, length.
const headRoom = 4 + 4 + ivLength + 4

// firstRead is how much memory a message's first frame begins with, so that small messages take little.
const firstRead = 8 << 10

// frame is one frame on its way from src through a worker to dst. Its memory is used again for later frames.
type frame struct {
	buf   []byte
	seq   uint32
	n     int // length of the content
	final bool

	out  []byte        // what is to be written: a part of buf
	err  error         // why there is nothing to be written
	done chan struct{} // receives one value when out or err is set
}

// grow makes buf at least size bytes long and keeps its content.
func (f *frame) grow(size int) {
	if len(f.buf) >= size {
		return
	}
	b := make([]byte, size)
	copy(b, f.buf)
	clear(f.buf)
	f.buf = b
}

// read reads n bytes from src to buf[at:]. It takes memory for a message's first frame as the bytes arrive, so that a length
// claimed costs nothing; later frames are as long as the first, which was there. Returns how many bytes it
// read, and io.EOF if there were fewer than n.
func (f *frame) read(src io.Reader, at, n int) (int, error) {
	end, have := at+n, at
	if f.seq > 1 {
		f.grow(end)
	}
	for have < end {
		if have >= len(f.buf) {
			f.grow(min(end, max(2*have, firstRead)))
		}
		k, err := readFull(src, f.buf[have:min(end, len(f.buf))])
		have += k
		if err != nil {
			return have - at, err
		}
	}
	return n, nil
}

// pipeline takes the frames of a message through three stages: fill reads one, work seals or opens it (on several
// cores), and what comes out is written to dst in order. An error ends it at the frame it belongs to: all
// frames before are written, it and those after are not.
type pipeline struct {
	fill     func(*frame) error // reads frame f.seq and sets n and final; called in order
	work     func(*frame) error // sets out; called by several goroutines
	dst      io.Writer
	workers  int
	inFlight int
	progress func(bytes int64)

	bytes int64 // plaintext written or sealed
}

// newPipeline is a pipeline of a few goroutines whose frames take a bounded amount of memory.
func newPipeline(dst io.Writer, frameLength, workers int, progress func(int64)) *pipeline {
	if workers == 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	workers = min(workers, maxWorkers)
	inFlight := max(2, min(2*workers, maxInFlight/frameLength))
	return &pipeline{dst: dst, workers: min(workers, inFlight), inFlight: inFlight, progress: progress}
}

// run takes the frames from first, which is filled already, to the final one.
func (p *pipeline) run(ctx context.Context, first *frame) error {
	if first.final { // the whole message
		defer clear(first.buf)
		return p.finish(first, p.work(first))
	}
	ctx, cancel := context.WithCancelCause(ctx)
	free := make(chan *frame, p.inFlight)
	todo := make(chan *frame, p.inFlight)
	ordered := make(chan *frame, p.inFlight)
	frames := []*frame{first}
	for range p.inFlight - 1 {
		frames = append(frames, &frame{})
	}
	for _, f := range frames {
		f.done = make(chan struct{}, 1)
	}
	for _, f := range frames[1:] {
		free <- f
	}

	var running sync.WaitGroup
	running.Go(func() { p.read(ctx, first, free, todo, ordered) })
	for range p.workers {
		running.Go(func() {
			for f := range todo {
				if f.err = context.Cause(ctx); f.err == nil {
					f.err = p.work(f)
				}
				f.done <- struct{}{}
			}
		})
	}
	err := p.write(ctx, free, ordered)
	cancel(err)
	running.Wait()
	for _, f := range frames {
		clear(f.buf)
	}
	return err
}

// read is the first stage. It closes todo and ordered when no frame follows.
func (p *pipeline) read(ctx context.Context, f *frame, free, todo, ordered chan *frame) {
	defer close(ordered)
	defer close(todo)
	for seq := f.seq; ; {
		// Neither send waits: there are not more frames than fit.
		if f.err != nil {
			f.done <- struct{}{}
			ordered <- f
			return
		}
		todo <- f
		ordered <- f
		if f.final {
			return
		}
		select {
		case f = <-free:
		case <-ctx.Done():
			return
		}
		if ctx.Err() != nil {
			return
		}
		seq++
		f.seq, f.final, f.n, f.out = seq, false, 0, nil
		f.err = p.fill(f)
	}
}

// write is the last stage, in the goroutine of the caller.
func (p *pipeline) write(ctx context.Context, free, ordered chan *frame) error {
	for f := range ordered {
		<-f.done
		if err := p.finish(f, f.err); err != nil {
			return err
		}
		if f.final {
			return nil
		}
		free <- f
	}
	return context.Cause(ctx)
}

// finish writes a frame that was worked on, or says why not.
func (p *pipeline) finish(f *frame, err error) error {
	if err != nil {
		return err
	}
	if err := writeAll(p.dst, f.out); err != nil {
		return err
	}
	p.bytes += int64(f.n)
	if p.progress != nil {
		p.progress(p.bytes)
	}
	return nil
}

func writeAll(dst io.Writer, b []byte) error {
	n, err := dst.Write(b)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	if err != nil {
		return fmt.Errorf("writing: %w", err)
	}
	return nil
}
