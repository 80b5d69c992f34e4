package storage

import (
	"context"

	"github.com/volleydb/volley/pgerr"
)

// PlanParquetByName is PlanParquet for files whose columns differ: the plan has
// those of all, in order of appearance, and a file's rows have NULL in the ones
// that it lacks. A column must have one type.
func (c *PlanCache) PlanParquetByName(ctx context.Context, paths []string) (*ParquetPlan, error) {
	if len(paths) == 0 {
		return nil, pgerr.New(pgerr.UndefinedFile, "no files to read")
	}
	plan := &ParquetPlan{}
	var all []*FileStats
	from := map[string]string{}
	for _, path := range paths {
		if err := ctx.Err(); err != nil {
			return nil, pgerr.From(err)
		}
		f, err := c.footer(path)
		if err != nil {
			return nil, err
		}
		for k, field := range f.fields {
			i := fieldIndex(plan.Schema, field.Name)
			switch {
			case fieldIndex(f.fields[:k], field.Name) >= 0:
				return nil, pgerr.New(pgerr.DuplicateColumn, "file \"%s\" has two columns of the name \"%s\"", path, field.Name)
			case i < 0:
				plan.Schema = append(plan.Schema, field)
				from[field.Name] = path
			case plan.Schema[i].Type != field.Type:
				return nil, pgerr.New(pgerr.DatatypeMismatch, "column \"%s\" is %s in file \"%s\" but %s in file \"%s\"",
					field.Name, field.Type, path, plan.Schema[i].Type, from[field.Name]).
					WithHint("Read the files one by one and unite them with UNION ALL and casts.")
			}
		}
		plan.Files = append(plan.Files, FileID{Path: path, Size: f.size, MtimeNs: f.mtime, Footer: f.sum})
		n := len(plan.Splits)
		plan.addSplits(path, f.stats.RowGroups, f.size, f.mtime)
		for _, s := range plan.Splits[n:] {
			s.FileSchema = ToProtoFields(f.fields)
		}
		all = append(all, f.stats)
	}
	plan.Stats = mergeStats(plan.Schema, all)
	return plan, nil
}
