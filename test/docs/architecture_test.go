package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const architecture = "docs/architecture.md"

var inCode = regexp.MustCompile("`([^`\n]+)`")

// rows are the table rows below a heading of the document, each as its cells.
func rows(t *testing.T, heading string) (all [][]string) {
	t.Helper()
	_, section, found := strings.Cut(string(read(t, architecture)), "\n## "+heading+"\n")
	if !found {
		t.Fatalf("%s has no heading %q", architecture, heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	for line := range strings.Lines(section) {
		if cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|"); strings.HasPrefix(line, "|") && !strings.HasPrefix(line, "|-") {
			all = append(all, cells)
		}
	}
	return all[1:]
}

// rooms are the packages of the plugin in the table of rooms, from the top of the house down.
func rooms(t *testing.T) (all []string) {
	t.Helper()
	for _, row := range rows(t, "The rooms") {
		for _, name := range inCode.FindAllStringSubmatch(row[0], -1) {
			if room := strings.TrimSuffix(name[1], "/"); room == "plugin" || strings.HasPrefix(room, "plugin/") {
				all = append(all, room)
			}
		}
	}
	return all
}

// Each package of the plugin is a room in the table, and imports none above it.
func TestEveryRoomIsInTheTableAndImportsNoneAboveIt(t *testing.T) {
	table := rooms(t)
	seen := map[string]bool{}
	err := filepath.WalkDir(filepath.Join(root(t), "plugin"), func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".go" {
			return err
		}
		room, err := filepath.Rel(root(t), filepath.Dir(path))
		seen[room] = true
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for room := range seen {
		if !slices.Contains(table, room) {
			t.Errorf("%s is not in the table", room)
		}
	}
	for i, room := range table {
		if !seen[room] {
			t.Errorf("there is no package %s", room)
			continue
		}
		for _, file := range parsed(t, room) {
			for _, imported := range file.Imports {
				below, inside := strings.CutPrefix(strings.Trim(imported.Path.Value, `"`), "go-jwt-auth/")
				if inside && slices.Index(table, below) < i {
					t.Errorf("%s imports %s, which stands above it", room, below)
				}
			}
		}
	}
}

// parsed are the sources of one package, without the tests, by the name of the file.
func parsed(t *testing.T, room string) map[string]*ast.File {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(root(t), room, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]*ast.File{}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Base(name)] = file
	}
	return files
}

// declared are the names that files declare: "Name", and "Type.Name" of a method, a field or a method of an interface.
func declared(files map[string]*ast.File) map[string]bool {
	names := map[string]bool{}
	for _, file := range files {
		for _, declaration := range file.Decls {
			switch d := declaration.(type) {
			case *ast.FuncDecl:
				names[d.Name.Name] = true
				if d.Recv != nil {
					of := d.Recv.List[0].Type
					if pointer, is := of.(*ast.StarExpr); is {
						of = pointer.X
					}
					if name, is := of.(*ast.Ident); is {
						names[name.Name+"."+d.Name.Name] = true
					}
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					switch s := spec.(type) {
					case *ast.TypeSpec:
						names[s.Name.Name] = true
						members(s, names)
					case *ast.ValueSpec:
						for _, name := range s.Names {
							names[name.Name] = true
						}
					}
				}
			}
		}
	}
	return names
}

func members(of *ast.TypeSpec, names map[string]bool) {
	var list *ast.FieldList
	switch body := of.Type.(type) {
	case *ast.StructType:
		list = body.Fields
	case *ast.InterfaceType:
		list = body.Methods
	default:
		return
	}
	for _, field := range list.List {
		for _, name := range field.Names {
			names[of.Name.Name+"."+name.Name] = true
		}
	}
}

// Every file that the map names is there, and every name that it gives is declared where it says so.
func TestTheMapNamesWhatIsThere(t *testing.T) {
	packages := map[string]map[string]bool{}
	for _, room := range rooms(t) {
		packages[filepath.Base(room)] = declared(parsed(t, room))
	}
	checked := 0
	for _, found := range inCode.FindAllStringSubmatch(string(read(t, architecture)), -1) {
		name := found[1]
		if strings.Contains(name, "/") && !strings.ContainsAny(name, " $") {
			checked++
			if _, err := os.Stat(filepath.Join(root(t), name)); err != nil {
				t.Errorf("there is no %s", name)
			}
		}
		if room, member, _ := strings.Cut(name, "."); packages[room] != nil && !slices.Contains([]string{"", "go", "c"}, member) {
			checked++
			if !packages[room][member] {
				t.Errorf("package %s declares no %s", room, member)
			}
		}
	}
	// In the first table names stand behind the file that declares them.
	behind := regexp.MustCompile("`(plugin/[^`]*\\.go)`: ((?:`[A-Za-z]+`(?:, )?)+)")
	for _, row := range rows(t, "Where is it decided?") {
		for _, found := range behind.FindAllStringSubmatch(row[1], -1) {
			room, file := filepath.Split(found[1])
			names := declared(map[string]*ast.File{file: parsed(t, room)[file]})
			for _, name := range inCode.FindAllStringSubmatch(found[2], -1) {
				checked++
				if !names[name[1]] {
					t.Errorf("%s declares no %s", found[1], name[1])
				}
			}
		}
	}
	if checked < 50 {
		t.Errorf("only %d names were checked", checked)
	}
}
