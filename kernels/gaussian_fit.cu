// Eq. 3's Gaussian of each track's crops, in the form in which `log_densities` evaluates it at points.
//
//   X = crops - mean (n, d);  S = X'X / (n - 1);  G = X X' / (n - 1)
//   spherical: variance v = max(tr S / d, floor);  diag: v_k = max(S_kk, floor);  of one crop v = pooled, of every kind
//   shrunk, full: C = a S + b I;  shrunk: a = 1 - w, b = max(w pooled, floor), w by Chen et al. 2010, Eq. 23;
//     full: a = 1, b = floor.  With K = I + (a / b) G = L L' (Cholesky), by Woodbury
//     C^-1 = I / b - V'V,  V = sqrt(a / (n - 1)) / b . L^-1 X,  log det C = d log b + log det K
//   out: mean, inverse (1 / v or 1 / b), basis V, constant = d log 2 pi + log det C
//
// A block a fit, over rows start .. stop less `left_out` (-1: none). Everything is in double: b is 1e-6 of the data's
// variance where the covariance is full. No d x d matrix is formed; `gram` holds n x n numbers a fit.

constexpr int SIDE = 16, THREADS = SIDE * SIDE, DEPTH = 64;
enum Kind { SPHERICAL = 0, DIAG = 1, SHRUNK = 2, FULL = 3 };

__device__ inline double block_sum(double value) {
    __shared__ double parts[THREADS];
    int me = threadIdx.x;
    __syncthreads();
    parts[me] = value;
    __syncthreads();
    for (int half = THREADS / 2; half > 0; half /= 2) {
        if (me < half) parts[me] += parts[me + half];
        __syncthreads();
    }
    return parts[0];
}

// G of the centred rows in x, tile by tile; both triangles.
__device__ inline void gram_of(const double* x, int n, int d, double* g) {
    __shared__ double one[SIDE][DEPTH + 1], other[SIDE][DEPTH + 1];
    int r = threadIdx.x / SIDE, c = threadIdx.x % SIDE;
    for (int i = 0; i < n; i += SIDE)
        for (int j = 0; j <= i; j += SIDE) {
            double sum = 0.0;
            for (int k = 0; k < d; k += DEPTH) {
                for (int q = c; q < DEPTH; q += SIDE) {
                    one[r][q] = i + r < n && k + q < d ? x[(long long)(i + r) * d + k + q] : 0.0;
                    other[r][q] = j + r < n && k + q < d ? x[(long long)(j + r) * d + k + q] : 0.0;
                }
                __syncthreads();
                for (int q = 0; q < DEPTH; ++q) sum += one[r][q] * other[c][q];
                __syncthreads();
            }
            if (i + r < n && j + c < n)
                g[(long long)(i + r) * n + j + c] = g[(long long)(j + c) * n + i + r] = sum / (n - 1);
        }
    __syncthreads();
}

// The lower triangle of k becomes its Cholesky factor.
__device__ inline void cholesky(double* k, int n) {
    for (int j = 0; j < n; ++j) {
        if (threadIdx.x == 0) k[(long long)j * n + j] = sqrt(k[(long long)j * n + j]);
        __syncthreads();
        for (int i = j + 1 + threadIdx.x; i < n; i += THREADS) k[(long long)i * n + j] /= k[(long long)j * n + j];
        __syncthreads();
        int rest = n - j - 1;
        for (long long at = threadIdx.x; at < (long long)rest * rest; at += THREADS) {
            int i = j + 1 + (int)(at / rest), m = j + 1 + (int)(at % rest);
            if (m <= i) k[(long long)i * n + m] -= k[(long long)i * n + j] * k[(long long)m * n + j];
        }
        __syncthreads();
    }
}

extern "C" __global__ void gaussian_fit(const double* values, const long long* start, const long long* stop,
                                        const long long* left_out, const long long* basis_at, const long long* gram_at,
                                        int d, int kind, double pooled, double least, double* mean, double* inverse,
                                        double* basis, double* gram, double* constant) {
    long long fit = blockIdx.x, from = start[fit], out = left_out[fit];
    int me = threadIdx.x, n = (int)(stop[fit] - from - (out >= 0));
    double *m = mean + fit * d, *inv = inverse + fit * d, *x = basis + basis_at[fit] * d, *g = gram + gram_at[fit];
    double variances = 0.0, logs = 0.0;
    for (int k = me; k < d; k += THREADS) {
        double sum = 0.0, square = 0.0;
        for (int i = 0; i < n; ++i) sum += values[(from + i + (out >= 0 && from + i >= out)) * d + k];
        m[k] = sum / n;
        for (int i = 0; i < n; ++i) {
            double centred = values[(from + i + (out >= 0 && from + i >= out)) * d + k] - m[k];
            square += centred * centred;
            if (kind >= SHRUNK) x[(long long)i * d + k] = centred;
        }
        double v = n > 1 ? square / (n - 1) : pooled;
        variances += v;
        v = fmax(v, least);
        inv[k] = 1.0 / v, logs += log(v);  // diag; the others put theirs over it below
    }
    double log_det, normal = d * 1.8378770664093453;  // log 2 pi
    if (kind == DIAG) {
        log_det = block_sum(logs);
    } else if (kind == SPHERICAL || n == 1) {
        double v = fmax(block_sum(variances) / d, least);
        for (int k = me; k < d; k += THREADS) {
            inv[k] = 1.0 / v;
            if (kind >= SHRUNK) x[k] = 0.0;
        }
        log_det = d * log(v);
    } else {
        __syncthreads();
        gram_of(x, n, d, g);
        double a = 1.0, b = least, trace = 0.0, square = 0.0;
        for (long long at = me; at < (long long)n * n; at += THREADS) {
            square += g[at] * g[at];
            if (at / n == at % n) trace += g[at];
        }
        trace = block_sum(trace), square = block_sum(square);
        if (kind == SHRUNK) {
            double above = (1 - 2.0 / d) * square + trace * trace;
            double below = (n + 1 - 2.0 / d) * (square - trace * trace / d);
            double w = below > above ? above / below : 1.0;
            a = 1.0 - w, b = fmax(w * pooled, least);
        }
        for (long long at = me; at < (long long)n * n; at += THREADS) g[at] = a / b * g[at] + (at / n == at % n);
        __syncthreads();
        cholesky(g, n);
        double factor_log = 0.0, scale = sqrt(a / (n - 1)) / b;
        for (int i = me; i < n; i += THREADS) factor_log += 2.0 * log(g[(long long)i * n + i]);
        log_det = d * log(b) + block_sum(factor_log);
        for (int k = me; k < d; k += THREADS) {  // forward substitution, a column a thread
            inv[k] = 1.0 / b;
            for (int i = 0; i < n; ++i) {
                double v = x[(long long)i * d + k];
                for (int j = 0; j < i; ++j) v -= g[(long long)i * n + j] * x[(long long)j * d + k];
                x[(long long)i * d + k] = v / g[(long long)i * n + i];
            }
            for (int i = 0; i < n; ++i) x[(long long)i * d + k] *= scale;
        }
    }
    if (me == 0) constant[fit] = normal + log_det;
}
