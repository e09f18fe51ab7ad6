// Tracks as the loss metric (Eq. 2) sees them: softmax, log-softmax and their means over a track's crops in one pass.
//
//   p_i = softmax((t_i - c) / tau_t),  l_i = log_softmax(s_i / tau_s)     crop i, k values each
//   p[j] = mean_i p_i,  l[j] = mean_i l_i,  own[j] = sum_i p_i . l_i      over the crops i of track j; NaN, NaN, 0 of none
//
// A block a track and slice of COLUMNS columns; its means stay in registers. A row's maximum and sum of exponentials are
// found together in one reading (Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018); the second
// reading of the row finds it in the L1 cache. More slices than one (k > COLUMNS) find the row's sums anew.

constexpr int THREADS = 256, HELD = 16, COLUMNS = THREADS * HELD;
constexpr float LOWEST = -3.402823466e38f;

struct Sums {  // of a teacher's and a student's row: the greatest value, and the sum of exp(value - greatest)
    float t, t_sum, s, s_sum;
};

__device__ inline void add(float& greatest, float& sum, float other, float other_sum) {
    if (other > greatest) {
        sum = sum * expf(greatest - other) + other_sum;
        greatest = other;
    } else {
        sum += other_sum * expf(other - greatest);
    }
}

extern "C" __global__ void softmax_means(const float* __restrict__ teacher, const float* __restrict__ student,
                                         const long long* offsets, const float* __restrict__ centre, int tracks, int k,
                                         float tau_t, float tau_s, float* p, float* l, double* own) {
    __shared__ Sums sums[THREADS];
    __shared__ double dots[THREADS];
    long long track = blockIdx.x, start = offsets[track], stop = offsets[track + 1];
    int me = threadIdx.x, first = blockIdx.y * COLUMNS + me;
    float p_sum[HELD] = {}, l_sum[HELD] = {};
    double dot = 0.0;
    for (long long row = start; row < stop; ++row) {
        const float *t = teacher + row * k, *s = student + row * k;
        Sums mine = {LOWEST, 0.0f, LOWEST, 0.0f};
        for (int i = me; i < k; i += THREADS) {
            add(mine.t, mine.t_sum, (t[i] - centre[i]) / tau_t, 1.0f);
            add(mine.s, mine.s_sum, s[i] / tau_s, 1.0f);
        }
        sums[me] = mine;
        __syncthreads();
        for (int half = THREADS / 2; half > 0; half /= 2) {
            if (me < half) {
                const Sums other = sums[me + half];
                add(sums[me].t, sums[me].t_sum, other.t, other.t_sum);
                add(sums[me].s, sums[me].s_sum, other.s, other.s_sum);
            }
            __syncthreads();
        }
        const Sums all = sums[0];
        __syncthreads();  // before the next row's sums are written
        float log_sum = logf(all.s_sum), part = 0.0f;
#pragma unroll
        for (int h = 0; h < HELD; ++h) {
            int i = first + h * THREADS;
            if (i < k) {
                float p_i = expf((t[i] - centre[i]) / tau_t - all.t) / all.t_sum, l_i = s[i] / tau_s - all.s - log_sum;
                p_sum[h] += p_i, l_sum[h] += l_i, part += p_i * l_i;
            }
        }
        dot += part;
    }
    float crops = (float)(stop - start);  // 0 / 0 is the NaN of a track without crops
#pragma unroll
    for (int h = 0; h < HELD; ++h) {
        int i = first + h * THREADS;
        if (i < k) p[track * k + i] = p_sum[h] / crops, l[track * k + i] = l_sum[h] / crops;
    }
    dots[me] = dot;
    __syncthreads();
    for (int half = THREADS / 2; half > 0; half /= 2) {
        if (me < half) dots[me] += dots[me + half];
        __syncthreads();
    }
    if (me == 0) own[track * gridDim.y + blockIdx.y] = dots[0];
}
