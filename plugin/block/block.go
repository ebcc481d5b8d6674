// Package block is the list of those whom an admin keeps out for a time: the bearers of tokens, by provider and subject or by one token.
//
// It belongs to the broker's thread.
package block

import (
	"cmp"
	"errors"
	"slices"
	"time"
)

// Most is how many there are at once.
const Most = 1024

// LongestFor is the longest time that one lasts.
const LongestFor = 24 * time.Hour

// ErrFull says that there are Most already.
var ErrFull = errors.New("too many blocks: remove some")

// Bearer is whom a block keeps out: a subject of a provider, or whoever has one token.
type Bearer struct {
	// Provider is its name in jwt.json; empty: it has none.
	Provider string
	// Subject, or else LogID, the name of a token in the log, is set.
	Subject, LogID string
}

// Block is one.
type Block struct {
	// ID numbers them, from 1 on.
	ID uint64
	Bearer
	Until time.Time
	// By is the admin, and Reason what that has said.
	By, Reason string
	// Order is that of the command; see List.Order.
	Order uint64
}

// List is all of them.
type List struct {
	blocks map[Bearer]*Block
	// last is the id of the last one, orders the number of the last command.
	last, orders uint64
}

// Order numbers a command, as it comes: it may be done after others that came later.
func (l *List) Order() uint64 {
	l.orders++
	return l.orders
}

// Add keeps a Bearer out that is not zero; if it is kept out already, by what was said last.
func (l *List) Add(b Block, now time.Time) (*Block, error) {
	l.sweep(now)
	if before := l.blocks[b.Bearer]; before != nil {
		if b.Order >= before.Order {
			before.Until, before.By, before.Reason, before.Order = b.Until, b.By, b.Reason, b.Order
		}
		return before, nil
	}
	if len(l.blocks) >= Most {
		return nil, ErrFull
	}
	if l.blocks == nil {
		l.blocks = map[Bearer]*Block{}
	}
	l.last++
	b.ID = l.last
	l.blocks[b.Bearer] = &b
	return &b, nil
}

// Of is the block of a token by a provider of this name, or nil.
func (l *List) Of(provider, subject, logID string, now time.Time) *Block {
	if len(l.blocks) == 0 {
		return nil
	}
	for _, bearer := range [...]Bearer{{Provider: provider, Subject: subject}, {Provider: provider, LogID: logID}} {
		if b := l.blocks[bearer]; b != nil && now.Before(b.Until) {
			return b
		}
	}
	return nil
}

// All are those that last, by id.
func (l *List) All(now time.Time) []*Block {
	l.sweep(now)
	all := make([]*Block, 0, len(l.blocks))
	for _, b := range l.blocks {
		all = append(all, b)
	}
	slices.SortFunc(all, func(a, b *Block) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// Len is how many last.
func (l *List) Len(now time.Time) int {
	l.sweep(now)
	return len(l.blocks)
}

// Remove ends the one of this id, and returns it; nil if there is none.
func (l *List) Remove(id uint64, now time.Time) *Block {
	l.sweep(now)
	for bearer, b := range l.blocks {
		if b.ID == id {
			delete(l.blocks, bearer)
			return b
		}
	}
	return nil
}

func (l *List) sweep(now time.Time) {
	for bearer, b := range l.blocks {
		if !now.Before(b.Until) {
			delete(l.blocks, bearer)
		}
	}
}
