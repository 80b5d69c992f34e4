package worker

import "testing"

func TestCollectorLimit(t *testing.T) {
	const mb = 1 << 20
	for _, workMem := range []int64{0, 4 * mb, 64 * mb, 200 * mb, 400 * mb, 4000 * mb} {
		got := collectorLimit(workMem)
		if held := int64(float64(workMem) * accounted); got < held+processBytes {
			t.Errorf("work_mem %d MB: the limit %d MB leaves too little beside the %d MB that operators hold", workMem/mb, got/mb, held/mb)
		}
		if most := workMem + workMem/5; workMem >= 200*mb && got+programBytes > most {
			t.Errorf("work_mem %d MB: the limit %d MB and the program exceed 1.2 of it", workMem/mb, got/mb)
		}
	}
}
