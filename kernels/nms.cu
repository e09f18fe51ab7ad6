// Greedy non-maximum suppression, a group of boxes (a frame) a block.
//
//   keep[i] = no j < i of the group with keep[j] and |i n j| / |i u j| > threshold
//
// Boxes come best first. Products and sums are rounded one by one (__fmul_rn, __fadd_rn are never fused), so that a box
// exactly at the threshold falls as in NumPy.

__device__ inline float area(const float* b) {
    return __fmul_rn(fmaxf(__fsub_rn(b[2], b[0]), 0.0f), fmaxf(__fsub_rn(b[3], b[1]), 0.0f));
}

extern "C" __global__ void nms(const float* boxes, const long long* offsets, float threshold, unsigned char* keep) {
    long long start = offsets[blockIdx.x], stop = offsets[blockIdx.x + 1];
    for (long long i = start + threadIdx.x; i < stop; i += blockDim.x) keep[i] = 1;
    __syncthreads();
    for (long long i = start; i < stop; ++i) {
        if (keep[i]) {  // the same for all threads: no one writes it before the barrier below
            const float* a = boxes + i * 4;
            for (long long j = i + 1 + threadIdx.x; j < stop; j += blockDim.x) {
                const float* b = boxes + j * 4;
                float w = fmaxf(__fsub_rn(fminf(a[2], b[2]), fmaxf(a[0], b[0])), 0.0f);
                float h = fmaxf(__fsub_rn(fminf(a[3], b[3]), fmaxf(a[1], b[1])), 0.0f);
                float common = __fmul_rn(w, h), all = __fsub_rn(__fadd_rn(area(a), area(b)), common);
                if (all > 0.0f && __fdiv_rn(common, all) > threshold) keep[j] = 0;
            }
        }
        __syncthreads();
    }
}
