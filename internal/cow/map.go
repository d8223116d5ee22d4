// Package cow holds a map whose copies are cheap, for state that is replaced whole behind an atomic pointer.
//
// A Map never changes once it is made: With and Without return a new one that shares all but one of its 256
// shards with the old. So readers of an old Map need no lock, and a change among 100,000 entries copies
// about 400 of them.
//
// Trust: keys are hashed with a seed of the process, so a caller who chooses keys cannot choose shards.
package cow

import (
	"hash/maphash"
	"iter"
	"maps"
)

const shardCount = 256

var seed = maphash.MakeSeed()

// Map is an immutable map. The zero value is empty and ready for use. It may be read by many goroutines at once.
type Map[K comparable, V any] struct {
	shards *[shardCount]map[K]V // nil while the map is empty
	n      int
}

func shardOf[K comparable](k K) uint8 { return uint8(maphash.Comparable(seed, k)) }

// Len returns the number of entries.
func (m Map[K, V]) Len() int { return m.n }

// Load returns the value of k, and whether there is one.
func (m Map[K, V]) Load(k K) (V, bool) {
	if m.shards == nil {
		var zero V
		return zero, false
	}
	v, ok := m.shards[shardOf(k)][k]
	return v, ok
}

// With returns a Map that also holds k → v, in the place of what k had.
func (m Map[K, V]) With(k K, v V) Map[K, V] {
	next, shard := m.cloneFor(k)
	if _, ok := shard[k]; !ok {
		next.n++
	}
	shard[k] = v
	return next
}

// Without returns a Map without k.
func (m Map[K, V]) Without(k K) Map[K, V] {
	if _, ok := m.Load(k); !ok {
		return m
	}
	next, shard := m.cloneFor(k)
	delete(shard, k)
	next.n--
	return next
}

// cloneFor returns a copy of m whose shard for k, also returned, is its own.
func (m Map[K, V]) cloneFor(k K) (Map[K, V], map[K]V) {
	shards := new([shardCount]map[K]V)
	if m.shards != nil {
		*shards = *m.shards
	}
	i := shardOf(k)
	if shards[i] == nil {
		shards[i] = make(map[K]V)
	} else {
		shards[i] = maps.Clone(shards[i])
	}
	return Map[K, V]{shards: shards, n: m.n}, shards[i]
}

// All ranges over the entries, in no order.
func (m Map[K, V]) All() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		if m.shards == nil {
			return
		}
		for _, shard := range m.shards {
			for k, v := range shard {
				if !yield(k, v) {
					return
				}
			}
		}
	}
}

// Collect makes a Map of a sequence in one pass, for state that is loaded whole. Of entries with the same key the
// last one stays.
func Collect[K comparable, V any](seq iter.Seq2[K, V]) Map[K, V] {
	shards := new([shardCount]map[K]V)
	n := 0
	for k, v := range seq {
		i := shardOf(k)
		if shards[i] == nil {
			shards[i] = make(map[K]V)
		}
		if _, ok := shards[i][k]; !ok {
			n++
		}
		shards[i][k] = v
	}
	return Map[K, V]{shards: shards, n: n}
}
