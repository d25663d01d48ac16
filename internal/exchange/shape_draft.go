package exchange

// draft is where the shape of one body grows: its parts, and the lists in them,
// are used again for the next body. What lasts is made at the end, at once and no
// larger than it has to be.
type draft struct {
	parts []*Shape
	used  int
}

// part is an empty shape. It is the draft's: nobody may keep it.
func (d *draft) part() *Shape {
	if d.used == len(d.parts) {
		d.parts = append(d.parts, new(Shape))
	}
	s := d.parts[d.used]
	d.used++
	s.clear()
	return s
}

// clear makes a shape empty, but for the room in its lists. It writes no pointer that
// is nil already: while memory is being collected each such write has its price.
func (s *Shape) clear() {
	s.Count, s.Types, s.Most, s.Length = 0, [types]uint32{}, 0, 0
	s.Many, s.Big, s.Lost, s.Map, s.Cut = false, false, false, false, false
	s.Members, s.Kinds, s.Words, s.Sensitive = s.Members[:0], s.Kinds[:0], s.Words[:0], s.Sensitive[:0]
	if s.Free != nil {
		s.Free = nil
	}
	if s.Items != nil {
		s.Items = nil
	}
	if s.Tag != "" {
		s.Tag, s.Variants = "", nil
	}
}

// fair copies a shape out of the draft: one block for each sort of thing in it.
func (d *draft) fair(root *Shape) *Shape {
	var f fair
	f.count(root)
	f.shapes = make([]Shape, f.n.shapes)
	f.members = make([]Member, f.n.members)
	f.kinds = make([]KindCount, f.n.kinds)
	f.words = make([]WordCount, f.n.words)
	f.sensitive = make([]SensitiveCount, f.n.sensitive)
	return f.copy(root)
}

// fair is a copy in the making: first counted, then taken from what is left of the
// blocks.
type fair struct {
	n         struct{ shapes, members, kinds, words, sensitive int }
	shapes    []Shape
	members   []Member
	kinds     []KindCount
	words     []WordCount
	sensitive []SensitiveCount
}

func (f *fair) count(s *Shape) {
	if s == nil {
		return
	}
	f.n.shapes++
	f.n.members += len(s.Members)
	f.n.kinds += len(s.Kinds)
	f.n.words += len(s.Words)
	f.n.sensitive += len(s.Sensitive)
	f.count(s.Free)
	f.count(s.Items)
	for i := range s.Members {
		f.count(s.Members[i].Shape)
	}
}

func (f *fair) copy(s *Shape) *Shape {
	if s == nil {
		return nil
	}
	out := &f.shapes[0]
	f.shapes = f.shapes[1:]
	out.Count, out.Types, out.Most, out.Length = s.Count, s.Types, s.Most, s.Length
	out.Many, out.Big, out.Lost, out.Map, out.Cut = s.Many, s.Big, s.Lost, s.Map, s.Cut
	take(&out.Kinds, &f.kinds, s.Kinds)
	take(&out.Words, &f.words, s.Words)
	take(&out.Sensitive, &f.sensitive, s.Sensitive)
	take(&out.Members, &f.members, s.Members)
	for i := range out.Members {
		out.Members[i].Shape = f.copy(out.Members[i].Shape)
	}
	if s.Free != nil {
		out.Free = f.copy(s.Free)
	}
	if s.Items != nil {
		out.Items = f.copy(s.Items)
	}
	if s.Tag != "" {
		out.Tag, out.Variants = s.Tag, s.Variants
	}
	return out
}

// take copies a list into the beginning of a block. Whoever appends to it later
// leaves the block.
func take[T any](out, block *[]T, list []T) {
	if n := len(list); n > 0 {
		*out = (*block)[:n:n]
		*block = (*block)[n:]
		copy(*out, list)
	}
}
